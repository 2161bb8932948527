-- Messages of which no delivery at this node needs content any more.
delete from erased as e
where not exists (select 1 from deliveries as d where d.message = e.message and not d.erased)
returning e.message
