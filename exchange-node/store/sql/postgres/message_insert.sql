insert into messages (id, member, process, envelope, stored_at)
select u.id, u.member, u.process, u.envelope, u.stored_at
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[])
  with ordinality as u (id, member, process, envelope, stored_at, n)
order by u.n
on conflict (id) do nothing
