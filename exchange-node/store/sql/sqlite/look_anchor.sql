select id, root, at, token, last_seq, leaves from anchors
where id > $1 and id <= $2
order by id
limit 1
