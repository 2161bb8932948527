insert into tokens (sha256, client_id, member, scopes, expires)
values ($1, $2, $3, $4, $5)
on conflict (sha256) do nothing
