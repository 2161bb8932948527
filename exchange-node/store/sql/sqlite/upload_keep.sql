update uploads set expires = null
where id in (select unhex(j.value->>0) from json_each($1) as j) and expires is not null
