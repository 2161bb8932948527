select id from deliveries
where next_due <= $1
order by next_due, id
limit $2
