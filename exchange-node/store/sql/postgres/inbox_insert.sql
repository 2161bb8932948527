-- A change of phase makes a hidden item visible again.
insert into inbox (delivery, member, phase)
select u.delivery, u.member, u.phase
from unnest($1::uuid[], $2::text[], $3::text[]) with ordinality as u (delivery, member, phase, n)
order by u.n
on conflict (delivery) do update set phase = excluded.phase, visible_at = 0
where inbox.phase <> excluded.phase
