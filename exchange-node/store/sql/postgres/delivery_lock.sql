select id, version from deliveries where id = any ($1::uuid[]) order by id for update
