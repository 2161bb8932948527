delete from causes where rowid in (select rowid from causes where at < $1 order by at limit $2)
