-- The oldest waiting row of each key becomes its head.
update queue as q set head = true
from unnest($1::text[], $2::text[]) as u (kind, order_key),
  lateral (
    select n.id from queue as n
    where n.kind = u.kind and n.order_key = u.order_key and n.state = 'waiting'
    order by n.id limit 1
  ) as oldest
where q.id = oldest.id and not q.head
