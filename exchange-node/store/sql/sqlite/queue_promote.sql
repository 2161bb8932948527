-- The oldest waiting row of each key becomes its head.
update queue set head = 1
where id in (
  select (
    select n.id from queue as n
    where n.kind = j.value->>0 and n.order_key = j.value->>1 and n.state = 'waiting'
    order by n.id limit 1
  )
  from json_each($1) as j
) and head = 0
