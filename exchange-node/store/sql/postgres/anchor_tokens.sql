select id, at, token, leaves from anchors where id = any ($1::bigint[])
