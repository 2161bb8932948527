-- A change of phase makes a hidden item visible again.
insert into inbox (delivery, member, phase, octets)
select unhex(j.value->>0), j.value->>1, j.value->>2, j.value->>3
from json_each($1) as j
where true
on conflict (delivery) do update set phase = excluded.phase, visible_at = 0
where inbox.phase <> excluded.phase
