-- The archive of one node, version 1. Times are milliseconds since 1970 (UTC), digests SHA-256.
-- Columns of `deliveries` beside `state` are projections of it, written by the same statement.

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
  message uuid not null references messages (id),
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
  delivery uuid not null unique references deliveries (id),
  member text not null,
  phase text not null,
  visible_at bigint not null default 0
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000);
create index inbox_member on inbox (member, seq);

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
  p7m bytea not null
);
create index evidence_message on evidence (message, seq);
-- Signed bytes do not compress; in line up to a page they are one write instead of four.
alter table evidence alter column p7m set storage external;
alter table evidence set (toast_tuple_target = 8160);

create table anchors (
  id bigint generated always as identity primary key,
  root bytea not null unique,
  at bigint not null,
  token bytea not null
);

create table anchored (
  seq bigint primary key,
  anchor bigint not null,
  path bytea not null
);
alter table anchored alter column path set storage external;
alter table anchored set (toast_tuple_target = 4080);

-- Evidence that waits for its anchor: a queue beside the evidence, whose rows never change.
create table unanchored (
  seq bigint primary key,
  sha256 bytea not null,
  stored_at bigint not null
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000);

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
  delivery uuid not null references deliveries (id),
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
