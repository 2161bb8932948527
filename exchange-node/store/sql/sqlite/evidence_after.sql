select e.seq, e.id, e.message, e.deliveries, e.event, e.reason, e.node, e.at, e.sealed_at,
  e.sha256, e.stored_at, e.p7m, c.at as anchored_at
from evidence as e
  left join anchored as a on a.seq = e.seq
  left join anchors as c on c.id = a.anchor
where e.seq > $1
order by e.seq
limit $2
