select e.seq, e.id, e.message, e.deliveries, e.event, e.reason, e.node, e.at, e.sealed_at,
  e.sha256, e.stored_at, e.p7m
from sealed as e
where e.message in (select unhex(j.value->>0) from json_each($1) as j) and e.seq > $3
order by e.seq
limit $4
