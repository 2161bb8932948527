-- A change of phase makes a hidden item visible again.
insert into inbox (delivery, member, phase, octets)
select u.delivery, u.member, u.phase, u.octets
from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
  with ordinality as u (delivery, member, phase, octets, n)
order by u.n
on conflict (delivery) do update set phase = excluded.phase, visible_at = 0
where inbox.phase <> excluded.phase
