-- `head` keeps telling whether the row was one.
update queue as q set state = 'dead', due = null, error = u.error
from unnest($1::bigint[], $2::text[]) as u (id, error)
where q.id = u.id and q.state = 'waiting'
returning q.kind, q.order_key, case when q.head then 1::bigint else 0::bigint end
