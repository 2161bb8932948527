-- Of these keys, those of which something waits.
select j.value->>0 from json_each($1) as j
where exists (
  select 1 from queue as q
  where q.kind = $3 and q.order_key = j.value->>0 and q.state = 'waiting')
