insert into anchors (root, at, token, last_seq, leaves) values ($1, $2, $3, $4, $5)
