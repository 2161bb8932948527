delete from unanchored where seq = any ($1::bigint[])
