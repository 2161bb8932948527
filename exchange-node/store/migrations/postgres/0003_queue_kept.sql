-- A queue that is often empty is planned for as if it held one row. An index of all its rows then
-- looks as good as any other to find some by their ids, and was read from end to end for each batch.
drop index queue_state;
create index queue_kept on queue (state, kind, id) where state <> 'waiting';
