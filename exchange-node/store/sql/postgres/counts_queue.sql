select state, kind, count(*) from queue group by state, kind order by state, kind
