-- There is one writer anyway.
select 1
