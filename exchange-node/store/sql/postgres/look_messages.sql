select seq, id, member, process, envelope from messages
where seq > $1 and seq <= $2
order by seq
limit $3
