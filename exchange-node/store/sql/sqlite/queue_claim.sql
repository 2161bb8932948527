select id, attempts, delivery, peer, order_key, due, payload
from queue
where kind = $1 and head <> 0 and state = 'waiting' and due <= $2
  and (peer is null or peer not in (select p.peer from peers as p))
order by due, id
limit $3
