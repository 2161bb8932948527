insert into deliveries (id, message, version, role, phase, since, custodian, next_due,
  recipient_member, state)
select unhex(j.value->>0), unhex(j.value->>1), j.value->>2, j.value->>3, j.value->>4,
  j.value->>5, j.value->>6, j.value->>7, j.value->>8,
  cast(substr($2, j.value->>9, j.value->>10) as text)
from json_each($1) as j
where true
on conflict (id) do nothing
returning id
