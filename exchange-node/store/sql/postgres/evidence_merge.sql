-- Evidence that was known already: its bytes stay, the deliveries it belongs to are added.
update evidence as e set deliveries = e.deliveries || u.deliveries
from unnest($1::uuid[], $2::bytea[]) as u (id, deliveries)
where e.id = u.id and position(u.deliveries in e.deliveries) = 0
