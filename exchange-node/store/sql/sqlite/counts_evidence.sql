select (select count(*) from evidence), (select count(*) from unanchored)
