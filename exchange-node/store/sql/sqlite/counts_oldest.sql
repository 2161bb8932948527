select
  (select since from queue not indexed
    where state = 'waiting' and kind = 'publish' order by id limit 1),
  (select min(since) from deliveries where phase = 'relaying'),
  (select stored_at from evidence where seq > coalesce((select max(last_seq) from anchors), 0)
    order by seq limit 1),
  (select min(since) from deliveries where phase = 'consigned')
