-- The archive of one node, version 1. Times are milliseconds since 1970 (UTC), digests SHA-256.
-- Columns of `deliveries` beside `state` are projections of it, written by the same statement.
-- References between hot tables are checked in SQLite alone, which runs the same statements: here
-- each would cost a look-up and a lock per row.

-- Why things happened: a known cause has its outcome here and is never decided again.
create table causes (
  cause text primary key,
  outcome bytea not null,
  at bigint not null
);
create index causes_at on causes using brin (at) with (autosummarize = on);

create table messages (
  seq bigint generated always as identity primary key,
  id uuid not null unique,
  member text,
  process text not null,
  envelope text not null,
  stored_at bigint not null
);
create index messages_member on messages (member, seq) where member is not null;

create table deliveries (
  seq bigint generated always as identity primary key,
  id uuid not null unique,
  message uuid not null,
  version bigint not null,
  role text not null,
  phase text not null,
  since bigint not null,
  custodian text not null,
  next_due bigint,
  recipient_member text,
  erased boolean not null default false,
  state text not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index deliveries_message on deliveries (message);
create index deliveries_due on deliveries (next_due, id) where next_due is not null;
create index deliveries_phase on deliveries (phase, since, role);
-- A state is a few KB and changes a dozen times: kept in line, uncompressed, it costs one write.
alter table deliveries alter column state set storage external;
alter table deliveries set (toast_tuple_target = 4080);

-- Deliveries that wait for a member. Apart from `deliveries`, so that claiming is a small write.
create table inbox (
  seq bigint generated always as identity primary key,
  delivery uuid not null unique,
  member text not null,
  phase text not null,
  visible_at bigint not null default 0
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000);
create index inbox_member on inbox (member, seq);

-- Certificates and CRLs that many seals have in common: two thirds of each, kept once.
create table stapled (
  id bigint generated always as identity primary key,
  sha256 bytea not null unique,
  bytes bytea not null
);

-- `p7m` lacks the octets of `stapled`, which belong after its first `cut`; the view `sealed` has
-- the whole.
create table evidence (
  seq bigint generated always as identity primary key,
  id uuid not null unique,
  message uuid not null,
  deliveries bytea not null,
  event text not null,
  reason text,
  node text not null,
  at bigint not null,
  sealed_at bigint not null,
  sha256 bytea not null,
  stored_at bigint not null,
  stapled bigint,
  cut bigint,
  p7m bytea not null
);
create index evidence_message on evidence (message, seq);
-- Signed bytes do not compress; in line up to a page they are one write instead of four.
alter table evidence alter column p7m set storage external;
alter table evidence set (toast_tuple_target = 8160);
create view sealed as
select e.seq, e.id, e.message, e.deliveries, e.event, e.reason, e.node, e.at, e.sealed_at,
  e.sha256, e.stored_at,
  case when e.stapled is null then e.p7m
    else substring(e.p7m for e.cut::int) || s.bytes || substring(e.p7m from e.cut::int + 1) end as p7m
from evidence as e left join stapled as s on s.id = e.stapled;

-- Anchors in time. Each holds all evidence between the last one and `last_seq`, in the order of
-- `seq`: `leaves` are their digests, 32 octets each. Since positions become visible in their order,
-- what waits for an anchor is what comes after the last one.
create table anchors (
  id bigint generated always as identity primary key,
  root bytea not null unique,
  at bigint not null,
  token bytea not null,
  last_seq bigint not null unique,
  leaves bytea not null
);
alter table anchors alter column leaves set storage external;

-- What waits for a worker (`waiting`) or an operator (`dead`, `set-aside`). Of the waiting rows
-- of one (kind, order_key) exactly one is the head, the only one that may be claimed.
create table queue (
  id bigint generated always as identity primary key,
  state text not null,
  kind text not null,
  head boolean not null,
  order_key text not null,
  due bigint,
  attempts bigint not null default 0,
  since bigint not null,
  delivery uuid,
  peer text,
  error text,
  payload bytea not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000);
create index queue_claim on queue (kind, due, id) where head and state = 'waiting';
create index queue_order on queue (kind, order_key, id) where state = 'waiting';
create index queue_state on queue (state, kind, id);
create unique index queue_frame on queue (order_key) where state = 'set-aside';
alter table queue alter column payload set storage external;

create table events (
  seq bigint generated always as identity primary key,
  member text not null,
  event text not null
);
create index events_member on events (member, seq);

create table uploads (
  id uuid primary key,
  member text not null,
  name text not null,
  media_type text not null,
  size bigint not null,
  sha256 bytea not null,
  cipher_sha256 bytea not null,
  cipher_size bigint not null,
  wrapped_key bytea not null,
  at bigint not null,
  expires bigint
);
create index uploads_expires on uploads (expires) where expires is not null;
create index uploads_cipher on uploads (cipher_sha256);

create table upload_uses (
  message uuid not null,
  document uuid not null,
  primary key (message, document)
);
create index upload_uses_document on upload_uses (document);

create table delivery_keys (
  delivery uuid not null,
  document uuid not null,
  cipher_sha256 bytea not null,
  cipher_size bigint not null,
  wrapped_key bytea not null,
  primary key (delivery, document)
);
create index delivery_keys_cipher on delivery_keys (cipher_sha256);

-- Messages of which a delivery was erased, and digests that may be without a reference: `sweep`
-- decides. A digest is offered to the caller twice, so that a crash in between loses nothing.
create table erased (message uuid primary key);
create table garbage (cipher_sha256 bytea primary key, offered boolean not null default false);

create table clients (
  client_id text primary key,
  secret_hash text not null,
  member text not null,
  scopes text not null,
  revoked_at bigint
);

create table tokens (
  sha256 bytea primary key,
  client_id text not null references clients (client_id),
  member text not null,
  scopes text not null,
  expires bigint not null
);
create index tokens_expires on tokens (expires);

create table probe (id bigint primary key, at bigint not null);
