insert into anchored (seq, anchor, path)
select j.value->>0, $3, substr($2, j.value->>1, j.value->>2)
from json_each($1) as j
where true
on conflict (seq) do nothing
