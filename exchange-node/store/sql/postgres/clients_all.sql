select client_id, secret_hash, member, scopes, revoked_at from clients order by client_id
