-- Messages of which no delivery at this node needs content any more.
delete from erased
where not exists (
  select 1 from deliveries as d where d.message = erased.message and d.erased = 0)
returning message
