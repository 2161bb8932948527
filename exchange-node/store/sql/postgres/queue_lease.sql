-- A lease is a due time: when it runs out the row is claimable again. Until the attempt is settled
-- nobody knows what came of it (`queue_tried`).
update queue set due = $2, attempts = attempts + 1, error = null where id = any ($1::bigint[])
