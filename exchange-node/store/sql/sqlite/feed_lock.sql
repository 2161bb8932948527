-- The writer's transaction is exclusive: positions appear in order.
select 1
