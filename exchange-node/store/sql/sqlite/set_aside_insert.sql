insert into queue (state, kind, head, order_key, since, peer, error, payload)
select 'set-aside', j.value->>0, 0, j.value->>1, j.value->>2, j.value->>3, j.value->>4,
  substr($2, j.value->>5, j.value->>6)
from json_each($1) as j
where true
on conflict (order_key) where state = 'set-aside' do nothing
