select seq, version, recipient_member, state from deliveries
where seq > $1
order by seq
limit $2
