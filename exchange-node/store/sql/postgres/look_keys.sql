select delivery, document, cipher_sha256, cipher_size, wrapped_key from delivery_keys
where delivery = any ($1::uuid[])
