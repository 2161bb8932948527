insert into upload_uses (message, document)
select unhex(j.value->>0), unhex(j.value->>1)
from json_each($1) as j
where true
on conflict (message, document) do nothing
