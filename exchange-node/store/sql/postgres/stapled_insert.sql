-- Under the feed lock: nobody inserts the same at the same time.
insert into stapled (sha256, bytes)
select u.sha256, u.bytes from unnest($1::bytea[], $2::bytea[]) as u (sha256, bytes)
returning id, sha256
