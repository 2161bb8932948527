insert into evidence (id, message, deliveries, event, reason, node, at, sealed_at, sha256,
  stored_at, stapled, cut, p7m)
select u.id, u.message, u.deliveries, u.event, u.reason, u.node, u.at, u.sealed_at, u.sha256,
  u.stored_at, u.stapled, u.cut, u.p7m
from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bytea[])
  with ordinality as u (id, message, deliveries, event, reason, node, at, sealed_at, sha256,
    stored_at, stapled, cut, p7m, n)
order by u.n
on conflict (id) do nothing
returning id
