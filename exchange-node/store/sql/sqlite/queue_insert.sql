-- `first`: first of its key in this batch. An empty key has no order. What nothing holds back is
-- leased as it is written ($3: for how long; 0 for nothing), by the rules of `queue_claim`.
insert into queue (state, kind, head, order_key, due, attempts, since, delivery, peer, payload)
select 'waiting', r.kind, r.head, r.order_key,
  case when r.free then r.since + $3 else r.due end, case when r.free then 1 else 0 end,
  r.since, r.delivery, r.peer, r.payload
from (
  select h.*, $3 > 0 and h.head and h.kind = 'publish' and h.due <= h.since
      and (h.peer is null or h.peer not in (select p.peer from peers as p)) as free
  from (
    select u.*,
      u.order_key = '' or (u.first <> 0 and not exists (
        select 1 from queue as q
        where q.kind = u.kind and q.order_key = u.order_key and q.state = 'waiting')) as head
    from (
      select j.value->>0 as kind, j.value->>1 as first, j.value->>2 as order_key,
        j.value->>3 as due, j.value->>4 as since, unhex(j.value->>5) as delivery,
        j.value->>6 as peer, substr($2, j.value->>7, j.value->>8) as payload, j.key as n
      from json_each($1) as j
    ) as u
  ) as h
) as r
order by r.n
returning id, attempts
