select seq, member, event from events
where seq > $1 and seq <= $2
order by seq
limit $3
