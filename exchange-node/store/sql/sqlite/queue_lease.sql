-- A lease is a due time: when it runs out the row is claimable again.
update queue set due = $3, attempts = attempts + 1
where id in (select j.value->>0 from json_each($1) as j)
