-- Of these keys, those of which something waits.
select u.order_key from unnest($1::text[]) as u (order_key)
where exists (
  select 1 from queue as q
  where q.kind = $2 and q.order_key = u.order_key and q.state = 'waiting')
