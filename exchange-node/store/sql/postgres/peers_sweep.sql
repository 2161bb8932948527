-- Those of whom nothing is said any more.
delete from peers where held_since is null and rate is null and paused_until is null
