-- What waits for members: how many deliveries, and how many octets of content.
select i.member, count(*), coalesce(sum(coalesce(i.octets, (
  select coalesce(sum(k.cipher_size), 0) from delivery_keys as k where k.delivery = i.delivery
))), 0)::bigint
from inbox as i
where i.member = any ($1::text[])
group by i.member
