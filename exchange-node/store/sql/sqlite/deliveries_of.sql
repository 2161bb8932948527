select seq, version, recipient_member, state from deliveries
where message in (select unhex(j.value->>0) from json_each($1) as j) and seq > $3
order by seq
limit $4
