select seq, sha256 from evidence
where seq > $1 and seq <= $2
order by seq
limit $3
