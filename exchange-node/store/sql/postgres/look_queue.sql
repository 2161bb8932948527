-- `known`: the delivery is here. `headed`: a row of its key may be claimed; an empty key has no
-- order. `double`: another row of its key may be claimed, too.
select q.id, q.kind, q.delivery, q.payload,
  (q.delivery is null or exists (select 1 from deliveries as d where d.id = q.delivery))::int::bigint as known,
  (q.state <> 'waiting' or q.head or (q.order_key <> '' and exists (
    select 1 from queue as n
    where n.kind = q.kind and n.order_key = q.order_key and n.state = 'waiting' and n.head)))::int::bigint as headed,
  (q.state = 'waiting' and q.head and q.order_key <> '' and exists (
    select 1 from queue as n
    where n.kind = q.kind and n.order_key = q.order_key and n.state = 'waiting' and n.head and n.id <> q.id))::int::bigint as doubled
from queue as q
where q.id > $1 and q.id <= $2 and q.state in ('waiting', 'dead')
order by q.id
limit $3
