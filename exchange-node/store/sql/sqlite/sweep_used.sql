-- Uploads that no message uses any more.
delete from uploads
where id in (select unhex(j.value->>0) from json_each($1) as j) and expires is null
  and not exists (select 1 from upload_uses as x where x.document = uploads.id)
returning cipher_sha256
