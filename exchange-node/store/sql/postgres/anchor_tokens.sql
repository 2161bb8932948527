select id, at, token from anchors where id = any ($1::bigint[])
