select seq, sha256 from unanchored
where seq > $1
order by seq
limit $2
