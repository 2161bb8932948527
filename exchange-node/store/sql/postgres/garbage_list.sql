select cipher_sha256 from garbage order by cipher_sha256
