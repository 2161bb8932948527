insert into causes (cause, outcome, at)
select j.value->>0, substr($2, j.value->>1, j.value->>2), j.value->>3
from json_each($1) as j
where true
on conflict (cause) do nothing
returning cause
