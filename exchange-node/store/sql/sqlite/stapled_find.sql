select id, sha256 from stapled
where sha256 in (select substr($2, j.value->>0, j.value->>1) from json_each($1) as j)
