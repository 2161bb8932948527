select stored_at from unanchored order by seq limit 1
