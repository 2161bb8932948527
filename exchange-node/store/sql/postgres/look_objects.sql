select e.seq, e.id, e.message, e.deliveries, e.event, e.reason, e.node, e.at, e.sealed_at,
  e.sha256, e.stored_at, e.p7m
from sealed as e
where e.message = any ($1::uuid[]) and e.seq > $2
order by e.seq
limit $3
