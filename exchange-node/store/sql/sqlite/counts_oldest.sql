select
  (select since from queue where state = 'waiting' and kind = 'publish' order by id limit 1),
  (select min(since) from deliveries where phase = 'relaying'),
  (select stored_at from unanchored order by seq limit 1),
  (select min(since) from deliveries where phase = 'consigned')
