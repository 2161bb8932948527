update deliveries set erased = 1
where id in (select unhex(j.value->>0) from json_each($1) as j) and erased = 0
returning message
