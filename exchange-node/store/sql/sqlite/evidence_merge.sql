-- Evidence that was known already: its bytes stay, the deliveries it belongs to are added.
update evidence set deliveries = cast(evidence.deliveries || u.deliveries as blob)
from (
  select unhex(j.value->>0) as id, substr($2, j.value->>1, j.value->>2) as deliveries
  from json_each($1) as j
) as u
where evidence.id = u.id and instr(evidence.deliveries, u.deliveries) = 0
