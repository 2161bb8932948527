-- `head` keeps telling whether the row was one.
update queue set state = 'dead', due = null, error = u.error
from (select j.value->>0 as id, j.value->>1 as error from json_each($1) as j) as u
where queue.id = u.id and queue.state = 'waiting'
returning kind, order_key, case when head <> 0 then 1 else 0 end
