insert into evidence (id, message, deliveries, event, reason, node, at, sealed_at, sha256,
  stored_at, stapled, cut, p7m)
select unhex(j.value->>0), unhex(j.value->>1), substr($2, j.value->>2, j.value->>3),
  j.value->>4, j.value->>5, j.value->>6, j.value->>7, j.value->>8,
  substr($2, j.value->>9, j.value->>10), j.value->>11, j.value->>12, j.value->>13,
  substr($2, j.value->>14, j.value->>15)
from json_each($1) as j
where true
on conflict (id) do nothing
returning id
