update garbage set offered = 1
