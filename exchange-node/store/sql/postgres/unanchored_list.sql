select seq, sha256 from evidence
where seq > greatest($1, coalesce((select max(last_seq) from anchors), 0))
order by seq
limit $2
