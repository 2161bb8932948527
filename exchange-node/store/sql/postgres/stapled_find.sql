select id, sha256 from stapled where sha256 = any ($1::bytea[])
