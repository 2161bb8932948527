-- `known`: the delivery is here. `headed`: a row of its key may be claimed; an empty key has no
-- order. `double`: another row of its key may be claimed, too.
select q.id, q.kind, q.delivery, q.payload,
  q.delivery is null or exists (select 1 from deliveries as d where d.id = q.delivery) as known,
  q.state <> 'waiting' or q.head <> 0 or (q.order_key <> '' and exists (
    select 1 from queue as n
    where n.kind = q.kind and n.order_key = q.order_key and n.state = 'waiting' and n.head <> 0)) as headed,
  q.state = 'waiting' and q.head <> 0 and q.order_key <> '' and exists (
    select 1 from queue as n
    where n.kind = q.kind and n.order_key = q.order_key and n.state = 'waiting' and n.head <> 0 and n.id <> q.id) as doubled
from queue as q
where q.id > $1 and q.id <= $2 and q.state in ('waiting', 'dead')
order by q.id
limit $3
