delete from garbage
where exists (select 1 from uploads as u where u.cipher_sha256 = garbage.cipher_sha256)
  or exists (select 1 from delivery_keys as k where k.cipher_sha256 = garbage.cipher_sha256)
