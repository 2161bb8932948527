select seq, version, recipient_member, state from deliveries
where id in (select unhex(j.value->>0) from json_each($1) as j)
