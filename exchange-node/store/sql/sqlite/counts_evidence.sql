select (select count(*) from evidence), (
    select count(*) from evidence where seq > coalesce((select max(last_seq) from anchors), 0))
