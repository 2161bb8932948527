delete from delivery_keys where delivery = any ($1::uuid[]) returning cipher_sha256
