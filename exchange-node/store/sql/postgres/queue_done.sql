delete from queue where id = any ($1::bigint[]) and state <> 'set-aside'
returning kind, order_key, case when head and state = 'waiting' then 1::bigint else 0::bigint end
