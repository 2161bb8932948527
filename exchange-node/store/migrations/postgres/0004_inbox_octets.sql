-- What an item holds, so that counting what waits for a member asks nothing else. Null where it is
-- not known: rows from before, and of a process of the version before.
alter table inbox add column octets bigint;
create index inbox_unweighed on inbox (member) where octets is null;
