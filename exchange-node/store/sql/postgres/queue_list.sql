select id, state, peer, delivery, attempts, error, since, due, cast(length(payload) as bigint) as size
from queue
where id > $1
order by id
limit $2
