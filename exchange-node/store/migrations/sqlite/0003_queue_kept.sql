-- As for PostgreSQL, which planned badly with an index of all rows.
drop index queue_state;
create index queue_kept on queue (state, kind, id) where state <> 'waiting';
