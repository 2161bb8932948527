select delivery, member, phase from inbox
where delivery in (select unhex(j.value->>0) from json_each($1) as j)
