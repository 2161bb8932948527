select id, p7m from evidence where id = any ($1::uuid[])
