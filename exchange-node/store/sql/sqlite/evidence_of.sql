select e.seq, e.id, e.message, e.deliveries, e.event, e.reason, e.node, e.at, e.sealed_at,
  e.sha256, e.stored_at, e.p7m,
  (select a.at from anchors as a where a.last_seq >= e.seq order by a.last_seq limit 1)
    as anchored_at
from sealed as e
where e.message = $1
order by e.seq
