select id, state, peer, delivery, attempts, error, since, due, cast(length(payload) as bigint) as size
from queue
where id > $1 and peer = $3
order by id
limit $2
