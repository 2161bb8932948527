select stored_at from evidence
where seq > coalesce((select max(last_seq) from anchors), 0)
order by seq
limit 1
