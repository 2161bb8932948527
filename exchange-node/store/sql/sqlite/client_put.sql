insert into clients (client_id, secret_hash, member, scopes, revoked_at)
values ($1, $2, $3, $4, $5)
on conflict (client_id) do update
set secret_hash = excluded.secret_hash, member = excluded.member, scopes = excluded.scopes,
  revoked_at = excluded.revoked_at
