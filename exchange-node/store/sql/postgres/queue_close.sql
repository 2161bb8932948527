-- Closed rows keep everything; they are no longer among the dead.
update queue as q set state = 'closed', due = null
where q.state in ('dead', 'set-aside') and q.id = any ($1::bigint[])
returning q.id
