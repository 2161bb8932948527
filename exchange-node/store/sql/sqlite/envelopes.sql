select envelope from messages where id in (select unhex(j.value->>0) from json_each($1) as j)
