select e.id, a.anchor, a.path
from evidence as e join anchored as a on a.seq = e.seq
where e.id in (select unhex(j.value->>0) from json_each($1) as j)
