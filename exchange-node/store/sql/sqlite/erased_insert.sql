insert into erased (message)
select distinct unhex(j.value->>0) from json_each($1) as j
where true
on conflict (message) do nothing
