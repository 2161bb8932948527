select client_id, secret_hash, member, scopes, revoked_at from clients where client_id = $1
