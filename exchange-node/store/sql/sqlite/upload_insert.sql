insert into uploads (id, member, name, media_type, size, sha256, cipher_sha256, cipher_size,
  wrapped_key, at, expires)
select unhex(j.value->>0), j.value->>1, j.value->>2, j.value->>3, j.value->>4,
  substr($2, j.value->>5, j.value->>6), substr($2, j.value->>7, j.value->>8), j.value->>9,
  substr($2, j.value->>10, j.value->>11), j.value->>12, j.value->>13
from json_each($1) as j
where true
on conflict (id) do nothing
