select e.id, a.anchor, a.path
from evidence as e join anchored as a on a.seq = e.seq
where e.id = any ($1::uuid[])
