-- What a member sent since a moment, looking at its newest messages: how many, and how large.
-- A message that was refused has no delivery.
select count(*), coalesce(sum(u.size), 0)
from (
  select (
    select coalesce(sum(d.value->>'size'), 0) from json_each(m.envelope, '$.documents') as d
  ) as size
  from (
    select id, envelope, stored_at from messages where member = $1 order by seq desc limit $3
  ) as m
  where m.stored_at >= $2 and exists (select 1 from deliveries as x where x.message = m.id)
) as u
