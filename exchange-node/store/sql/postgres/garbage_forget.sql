delete from garbage where offered
