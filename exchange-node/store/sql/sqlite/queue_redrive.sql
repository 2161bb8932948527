-- Back behind the current head of its key, if there is one: a row in flight stays alone. A frame
-- that was set aside has a key of its own, and its peer is what the frame says: no destination.
update queue set state = 'waiting', due = $3, attempts = 0,
  kind = case when state = 'set-aside' then 'wake' else kind end,
  peer = case when state = 'set-aside' then null else peer end,
  head = order_key = '' or state = 'set-aside'
where (state = 'dead' and json_array_length($1) = 0)
  or (state in ('dead', 'set-aside') and id in (select j.value->>0 from json_each($1) as j))
returning kind, order_key
