select peer, held_since, reason, rate, next_at, failing_since, paused_until, error
from peers
order by peer
