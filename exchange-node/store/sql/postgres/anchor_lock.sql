-- One anchor after the other: each begins where the last one ended.
select pg_advisory_xact_lock(7018)
