insert into garbage (cipher_sha256)
select distinct substr($2, j.value->>0, j.value->>1) from json_each($1) as j
where true
on conflict (cipher_sha256) do nothing
