select seq, event from events
where member = $1 and seq > $2
order by seq
limit $3
