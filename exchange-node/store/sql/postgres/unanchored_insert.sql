insert into unanchored (seq, sha256, stored_at)
select u.seq, u.sha256, u.stored_at
from unnest($1::bigint[], $2::bytea[], $3::bigint[]) as u (seq, sha256, stored_at)
