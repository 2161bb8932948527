delete from queue
where id in (select j.value->>0 from json_each($1) as j) and state <> 'set-aside'
returning kind, order_key, case when head <> 0 and state = 'waiting' then 1 else 0 end
