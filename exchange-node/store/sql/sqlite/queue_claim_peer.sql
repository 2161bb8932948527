select id, attempts, delivery, peer, order_key, due, payload
from queue
where kind = $1 and head <> 0 and state = 'waiting' and due <= $2
  and peer = $4
order by due, id
limit $3
