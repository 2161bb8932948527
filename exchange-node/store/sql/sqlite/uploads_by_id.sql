select id, member, name, media_type, size, sha256, cipher_sha256, cipher_size, wrapped_key, at,
  expires
from uploads
where member = $3 and id in (select unhex(j.value->>0) from json_each($1) as j)
  and (expires is null or expires > $4)
