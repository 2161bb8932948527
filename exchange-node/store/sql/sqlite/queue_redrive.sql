-- Back behind the current head of its key, if there is one: a row in flight stays alone.
update queue set state = 'waiting', due = $3, attempts = 0, head = order_key = ''
where state = 'dead'
  and (json_array_length($1) = 0 or id in (select j.value->>0 from json_each($1) as j))
returning kind, order_key
