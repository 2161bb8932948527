insert into queue (state, kind, head, order_key, since, peer, error, payload)
select 'set-aside', u.lane, false, u.order_key, u.since, u.peer, u.error, u.payload
from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[])
  with ordinality as u (lane, order_key, since, peer, error, payload, n)
order by u.n
on conflict (order_key) where state = 'set-aside' do nothing
