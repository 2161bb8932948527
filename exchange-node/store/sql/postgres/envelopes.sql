select envelope from messages where id = any ($1::uuid[])
