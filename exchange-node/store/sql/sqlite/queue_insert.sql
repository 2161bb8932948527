-- `first`: first of its key in this batch. An empty key has no order.
insert into queue (state, kind, head, order_key, due, since, delivery, peer, payload)
select 'waiting', u.kind,
  u.order_key = '' or (u.first <> 0 and not exists (
    select 1 from queue as q
    where q.kind = u.kind and q.order_key = u.order_key and q.state = 'waiting')),
  u.order_key, u.due, u.since, u.delivery, u.peer, u.payload
from (
  select j.value->>0 as kind, j.value->>1 as first, j.value->>2 as order_key, j.value->>3 as due,
    j.value->>4 as since, unhex(j.value->>5) as delivery, j.value->>6 as peer,
    substr($2, j.value->>7, j.value->>8) as payload, j.key as n
  from json_each($1) as j
) as u
order by u.n
