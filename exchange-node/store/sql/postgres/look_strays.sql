-- Rows that belong to nothing.
select 'delivery', d.id from deliveries as d
where not exists (select 1 from messages as m where m.id = d.message)
union all
select 'inbox', i.delivery from inbox as i
where not exists (select 1 from deliveries as d where d.id = i.delivery)
union all
select 'key', k.delivery from delivery_keys as k
where not exists (select 1 from deliveries as d where d.id = k.delivery)
limit $1
