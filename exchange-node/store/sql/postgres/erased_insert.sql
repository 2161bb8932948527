insert into erased (message) select distinct u from unnest($1::uuid[]) as u
on conflict (message) do nothing
