-- Each part by an index of its own.
select 'waiting', kind, count(*) from queue where state = 'waiting' group by kind
union all
select state, kind, count(*) from queue where state <> 'waiting' group by state, kind
order by 1, 2
