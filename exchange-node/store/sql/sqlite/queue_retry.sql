update queue set due = u.due, error = u.error
from (
  select j.value->>0 as id, j.value->>1 as due, j.value->>2 as error from json_each($1) as j
) as u
where queue.id = u.id and queue.state = 'waiting'
