-- A lease is a due time: when it runs out the row is claimable again.
update queue set due = $2, attempts = attempts + 1 where id = any ($1::bigint[])
