select id, at, token from anchors where id in (select j.value->>0 from json_each($1) as j)
