select id, at, token, leaves from anchors where id in (select j.value->>0 from json_each($1) as j)
