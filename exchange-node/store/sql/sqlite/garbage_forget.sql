delete from garbage where offered <> 0
