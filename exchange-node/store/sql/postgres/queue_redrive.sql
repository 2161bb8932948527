-- Back behind the current head of its key, if there is one: a row in flight stays alone.
update queue as q set state = 'waiting', due = $2, attempts = 0, head = q.order_key = ''
where q.state = 'dead' and (cardinality($1::bigint[]) = 0 or q.id = any ($1::bigint[]))
returning q.kind, q.order_key
