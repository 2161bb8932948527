insert into anchored (seq, anchor, path)
select u.seq, $3, u.path from unnest($1::bigint[], $2::bytea[]) as u (seq, path)
on conflict (seq) do nothing
