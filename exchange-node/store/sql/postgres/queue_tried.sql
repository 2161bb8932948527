-- Claimed, and not settled since: a claim clears the error of the attempt before it.
select distinct delivery from queue
where state = 'waiting' and kind = 'publish' and attempts > 0 and error is null
  and order_key like '%/message/%' and delivery = any ($1::uuid[])
