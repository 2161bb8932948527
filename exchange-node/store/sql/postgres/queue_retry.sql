update queue as q set due = u.due, error = u.error
from unnest($1::bigint[], $2::bigint[], $3::text[]) as u (id, due, error)
where q.id = u.id and q.state = 'waiting'
