delete from tokens where expires <= $1
