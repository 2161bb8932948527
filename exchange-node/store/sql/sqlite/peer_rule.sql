-- Of all that is known about a peer, what an operator says.
insert into peers (peer, held_since, reason, rate) values ($1, $2, $3, $4)
on conflict (peer) do update
set held_since = excluded.held_since, reason = excluded.reason, rate = excluded.rate
