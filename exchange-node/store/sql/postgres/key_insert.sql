insert into delivery_keys (delivery, document, cipher_sha256, cipher_size, wrapped_key)
select u.delivery, u.document, u.cipher_sha256, u.cipher_size, u.wrapped_key
from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bigint[], $5::bytea[])
  as u (delivery, document, cipher_sha256, cipher_size, wrapped_key)
on conflict (delivery, document) do nothing
