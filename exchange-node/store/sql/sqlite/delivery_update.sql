update deliveries
set version = u.version, role = u.role, phase = u.phase, since = u.since,
  custodian = u.custodian, next_due = u.next_due, recipient_member = u.recipient_member,
  state = u.state
from (
  select unhex(j.value->>0) as id, j.value->>2 as version, j.value->>3 as role,
    j.value->>4 as phase, j.value->>5 as since, j.value->>6 as custodian,
    j.value->>7 as next_due, j.value->>8 as recipient_member,
    cast(substr($2, j.value->>9, j.value->>10) as text) as state
  from json_each($1) as j
) as u
where deliveries.id = u.id
returning id
