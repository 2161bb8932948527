delete from uploads where expires <= $1 returning cipher_sha256
