update garbage set offered = true
