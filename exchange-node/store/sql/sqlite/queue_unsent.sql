-- How many publications wait; counting ends at a limit.
select count(*) from (
  select 1 from queue where state = 'waiting' and kind = 'publish' limit $1
) as waiting
