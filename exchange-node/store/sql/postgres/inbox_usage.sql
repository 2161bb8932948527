-- What waits for members: how many deliveries, and how many octets of content. Of few items it is
-- not known, and their keys tell; they are looked for apart, so that the rest is counted in parallel.
select known.member, known.items, (known.octets + coalesce(others.octets, 0))::bigint
from (
  select i.member, count(*) as items, coalesce(sum(i.octets), 0) as octets
  from inbox as i
  where i.member = any ($1::text[])
  group by i.member
) as known
left join (
  select n.member, sum(k.cipher_size) as octets
  from inbox as n join delivery_keys as k on k.delivery = n.delivery
  where n.member = any ($1::text[]) and n.octets is null
  group by n.member
) as others on others.member = known.member
