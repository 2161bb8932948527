select delivery, document, cipher_sha256, cipher_size, wrapped_key from delivery_keys
where delivery in (select unhex(j.value->>0) from json_each($1) as j)
