-- What an item holds, as for PostgreSQL. Null where it is not known.
alter table inbox add column octets integer;
