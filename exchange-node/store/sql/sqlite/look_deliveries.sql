select id, message, role, phase, since, custodian, next_due, recipient_member,
  cast(erased <> 0 as integer), state
from deliveries
where message in (select unhex(j.value->>0) from json_each($1) as j)
order by seq
