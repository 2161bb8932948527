-- `first`: first of its key in this batch. An empty key has no order.
insert into queue (state, kind, head, order_key, due, since, delivery, peer, payload)
select 'waiting', u.kind,
  u.order_key = '' or (u.first <> 0 and not exists (
    select 1 from queue as q
    where q.kind = u.kind and q.order_key = u.order_key and q.state = 'waiting')),
  u.order_key, u.due, u.since, u.delivery, u.peer, u.payload
from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[],
    $7::text[], $8::bytea[])
  with ordinality as u (kind, first, order_key, due, since, delivery, peer, payload, n)
order by u.n
