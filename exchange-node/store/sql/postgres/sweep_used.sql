-- Uploads that no message uses any more.
delete from uploads as u
where u.id = any ($1::uuid[]) and u.expires is null
  and not exists (select 1 from upload_uses as x where x.document = u.id)
returning u.cipher_sha256
