delete from causes where ctid = any (array(select ctid from causes where at < $1 limit $2))
