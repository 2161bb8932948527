-- Of these keys, those without a head.
select j.value->>0, j.value->>1
from json_each($1) as j
where not exists (
  select 1 from queue as q
  where q.kind = j.value->>0 and q.order_key = j.value->>1 and q.state = 'waiting'
    and q.head <> 0)
