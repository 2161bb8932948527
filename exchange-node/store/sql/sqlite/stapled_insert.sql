insert into stapled (sha256, bytes)
select substr($2, j.value->>0, j.value->>1), substr($2, j.value->>2, j.value->>3)
from json_each($1) as j
returning id, sha256
