select seq, version, recipient_member, state from deliveries
where message = any ($1::uuid[]) and seq > $2
order by seq
limit $3
