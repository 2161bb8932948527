insert into peers (peer, failing_since, paused_until, error) values ($1, $2, $3, $4)
on conflict (peer) do update
set failing_since = coalesce(peers.failing_since, excluded.failing_since),
  paused_until = max(coalesce(peers.paused_until, 0), excluded.paused_until), error = excluded.error
