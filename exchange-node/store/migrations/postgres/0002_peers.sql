-- What an operator or a circuit breaker says about sending to a node. No row: send freely.
-- `rate` is publications per 1000 seconds; `next_at` counts microseconds since 1970.
create table peers (
  peer text primary key,
  held_since bigint,
  reason text not null default '',
  rate bigint,
  next_at bigint not null default 0,
  failing_since bigint,
  paused_until bigint,
  error text
);
