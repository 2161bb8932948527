-- Of these keys, those without a head.
select u.kind, u.order_key
from unnest($1::text[], $2::text[]) as u (kind, order_key)
where not exists (
  select 1 from queue as q
  where q.kind = u.kind and q.order_key = u.order_key and q.state = 'waiting' and q.head)
