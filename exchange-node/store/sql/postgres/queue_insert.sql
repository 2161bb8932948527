-- `first`: first of its key in this batch. An empty key has no order. What nothing holds back is
-- leased as it is written ($9: for how long; 0 for nothing), by the rules of `queue_claim`.
-- `offset 0`: each key is looked up. Else an index of all that waits is read, and hashed, for a batch.
insert into queue (state, kind, head, order_key, due, attempts, since, delivery, peer, payload)
select 'waiting', r.kind, r.head, r.order_key,
  case when r.free then r.since + $9 else r.due end, case when r.free then 1 else 0 end,
  r.since, r.delivery, r.peer, r.payload
from (
  select h.*, $9 > 0 and h.head and h.kind = 'publish' and h.due <= h.since
      and (h.peer is null or h.peer not in (select p.peer from peers as p)) as free
  from (
    select u.*,
      u.order_key = '' or (u.first <> 0 and not exists (
        select 1 from queue as q
        where q.kind = u.kind and q.order_key = u.order_key and q.state = 'waiting'
        offset 0)) as head
    from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[],
        $7::text[], $8::bytea[])
      with ordinality as u (kind, first, order_key, due, since, delivery, peer, payload, n)
  ) as h
) as r
order by r.n
returning id, attempts
