update uploads set expires = null where id = any ($1::uuid[]) and expires is not null
