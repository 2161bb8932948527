insert into garbage (cipher_sha256) select distinct u from unnest($1::bytea[]) as u
on conflict (cipher_sha256) do nothing
