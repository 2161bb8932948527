insert into delivery_keys (delivery, document, cipher_sha256, cipher_size, wrapped_key)
select unhex(j.value->>0), unhex(j.value->>1), substr($2, j.value->>2, j.value->>3),
  j.value->>4, substr($2, j.value->>5, j.value->>6)
from json_each($1) as j
where true
on conflict (delivery, document) do nothing
