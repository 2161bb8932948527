-- Back behind the current head of its key, if there is one: a row in flight stays alone. A frame
-- that was set aside has a key of its own, and its peer is what the frame says: no destination.
update queue as q set state = 'waiting', due = $2, attempts = 0,
  kind = case when q.state = 'set-aside' then 'wake' else q.kind end,
  peer = case when q.state = 'set-aside' then null else q.peer end,
  head = q.order_key = '' or q.state = 'set-aside'
where (q.state = 'dead' and (cardinality($1::bigint[]) = 0 or q.id = any ($1::bigint[])))
  or (q.state = 'set-aside' and q.id = any ($1::bigint[]))
returning q.kind, q.order_key
