delete from inbox where delivery = any ($1::uuid[])
