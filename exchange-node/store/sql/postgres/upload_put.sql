insert into uploads (id, member, name, media_type, size, sha256, cipher_sha256, cipher_size,
  wrapped_key, at, expires)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (id) do nothing
