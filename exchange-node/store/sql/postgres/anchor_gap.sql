select count(*) from evidence where seq > $1 and seq <= $2
