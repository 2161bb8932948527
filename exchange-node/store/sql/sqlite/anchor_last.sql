select coalesce((select max(last_seq) from anchors), 0)
