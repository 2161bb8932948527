insert into upload_uses (message, document)
select u.message, u.document from unnest($1::uuid[], $2::uuid[]) as u (message, document)
on conflict (message, document) do nothing
