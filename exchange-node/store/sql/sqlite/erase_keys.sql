delete from delivery_keys
where delivery in (select unhex(j.value->>0) from json_each($1) as j)
returning cipher_sha256
