insert into events (member, event)
select j.value->>0, cast(substr($2, j.value->>1, j.value->>2) as text)
from json_each($1) as j
order by j.key
