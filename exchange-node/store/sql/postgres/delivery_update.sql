-- The rows are locked and their versions compared (`delivery_lock`).
update deliveries as d
set version = u.version, role = u.role, phase = u.phase, since = u.since,
  custodian = u.custodian, next_due = u.next_due, recipient_member = u.recipient_member,
  state = u.state
from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[],
    $7::text[], $8::bigint[], $9::text[], $10::text[])
  as u (id, message, version, role, phase, since, custodian, next_due, recipient_member, state)
where d.id = u.id
returning d.id
