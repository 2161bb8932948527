insert into deliveries (id, message, version, role, phase, since, custodian, next_due,
  recipient_member, state)
select u.id, u.message, u.version, u.role, u.phase, u.since, u.custodian, u.next_due,
  u.recipient_member, u.state
from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[],
    $7::text[], $8::bigint[], $9::text[], $10::text[])
  with ordinality as u (id, message, version, role, phase, since, custodian, next_due,
    recipient_member, state, n)
order by u.n
on conflict (id) do nothing
returning id
