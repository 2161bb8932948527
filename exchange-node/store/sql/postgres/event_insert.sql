insert into events (member, event)
select u.member, u.event
from unnest($1::text[], $2::text[]) with ordinality as u (member, event, n)
order by u.n
