select cause, outcome from causes where cause in (select j.value->>0 from json_each($1) as j)
