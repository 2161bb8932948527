select id, p7m from sealed where id in (select unhex(j.value->>0) from json_each($1) as j)
