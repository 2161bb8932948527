-- What an item holds, as for PostgreSQL. Null where it is not known.
alter table inbox add column octets integer;
create index inbox_unweighed on inbox (member) where octets is null;
