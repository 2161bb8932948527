select seq, sha256 from evidence
where seq > max($1, coalesce((select max(last_seq) from anchors), 0))
order by seq
limit $2
