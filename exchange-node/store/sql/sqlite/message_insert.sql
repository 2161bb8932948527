insert into messages (id, member, process, envelope, stored_at)
select unhex(j.value->>0), j.value->>1, j.value->>2,
  cast(substr($2, j.value->>3, j.value->>4) as text), j.value->>5
from json_each($1) as j
where true
on conflict (id) do nothing
