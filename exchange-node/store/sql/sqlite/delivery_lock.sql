-- The writer's transaction is exclusive: nothing else to lock.
select id, version from deliveries where id in (select unhex(j.value->>0) from json_each($1) as j)
