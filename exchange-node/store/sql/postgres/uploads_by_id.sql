select id, member, name, media_type, size, sha256, cipher_sha256, cipher_size, wrapped_key, at,
  expires
from uploads
where member = $2 and id = any ($1::uuid[]) and (expires is null or expires > $3)
