-- Sorted by the caller, so that two writers with the same causes wait instead of deadlocking.
insert into causes (cause, outcome, at)
select u.cause, u.outcome, u.at
from unnest($1::text[], $2::bytea[], $3::bigint[]) with ordinality as u (cause, outcome, at, n)
order by u.n
on conflict (cause) do nothing
returning cause
