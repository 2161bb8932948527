select id from evidence where id in (select unhex(j.value->>0) from json_each($1) as j)
