select id, p7m from sealed where id = any ($1::uuid[])
