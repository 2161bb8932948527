-- Closed rows keep everything; they are no longer among the dead.
update queue set state = 'closed', due = null
where state in ('dead', 'set-aside') and id in (select j.value->>0 from json_each($1) as j)
returning id
