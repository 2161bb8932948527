-- Positions (`seq`, `id`) are drawn at the insert but become visible at the commit. Every writer
-- that draws one holds this lock from before the draw until its commit, so that positions become
-- visible in their order and a reader's cursor never passes one that is still to appear. (A
-- horizon of transaction ids instead would let one long transaction, even of another database
-- of the cluster, hold back every feed.) The lock also serialises the choice of queue heads.
select pg_advisory_xact_lock(7017)
