-- The first anchor that ends at or after an evidence holds it.
select e.id, e.sha256, (
    select a.id from anchors as a where a.last_seq >= e.seq order by a.last_seq limit 1)
from evidence as e
where e.id in (select unhex(j.value->>0) from json_each($1) as j)
