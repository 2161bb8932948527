select id, message, role, phase, since, custodian, next_due, recipient_member,
  erased::int::bigint, state
from deliveries
where message = any ($1::uuid[])
order by seq
