insert into uploads (id, member, name, media_type, size, sha256, cipher_sha256, cipher_size,
  wrapped_key, at, expires)
select u.id, u.member, u.name, u.media_type, u.size, u.sha256, u.cipher_sha256, u.cipher_size,
  u.wrapped_key, u.at, u.expires
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[],
    $7::bytea[], $8::bigint[], $9::bytea[], $10::bigint[], $11::bigint[])
  as u (id, member, name, media_type, size, sha256, cipher_sha256, cipher_size, wrapped_key, at,
    expires)
on conflict (id) do nothing
