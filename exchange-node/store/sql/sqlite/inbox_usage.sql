-- What waits for members: how many deliveries, and how many octets of content.
select i.member, count(*), coalesce(sum(coalesce(i.octets, (
  select coalesce(sum(k.cipher_size), 0) from delivery_keys as k where k.delivery = i.delivery
))), 0)
from inbox as i
where i.member in (select j.value->>0 from json_each($1) as j)
group by i.member
