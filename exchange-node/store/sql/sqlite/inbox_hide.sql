update inbox set visible_at = $3 where seq in (select j.value->>0 from json_each($1) as j)
