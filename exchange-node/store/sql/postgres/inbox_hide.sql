update inbox set visible_at = $2 where seq = any ($1::bigint[])
