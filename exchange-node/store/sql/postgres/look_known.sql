select id from evidence where id = any ($1::uuid[])
