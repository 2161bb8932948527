delete from upload_uses where message = any ($1::uuid[]) returning document
