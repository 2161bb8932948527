select at from probe where id = 1
