delete from upload_uses where message in (select unhex(j.value->>0) from json_each($1) as j)
returning document
