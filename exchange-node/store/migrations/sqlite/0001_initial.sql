-- The archive of one node, version 1. Times are milliseconds since 1970 (UTC), digests SHA-256.
-- Columns of `deliveries` beside `state` are projections of it, written by the same statement.

-- Why things happened: a known cause has its outcome here and is never decided again.
create table causes (
  cause text primary key,
  outcome blob not null,
  at integer not null
);
create index causes_at on causes (at);

create table messages (
  seq integer primary key autoincrement,
  id blob not null unique,
  member text,
  process text not null,
  envelope text not null,
  stored_at integer not null
);
create index messages_member on messages (member, seq) where member is not null;

create table deliveries (
  seq integer primary key autoincrement,
  id blob not null unique,
  message blob not null references messages (id),
  version integer not null,
  role text not null,
  phase text not null,
  since integer not null,
  custodian text not null,
  next_due integer,
  recipient_member text,
  erased integer not null default 0,
  state text not null
);
create index deliveries_message on deliveries (message);
create index deliveries_due on deliveries (next_due, id) where next_due is not null;
create index deliveries_phase on deliveries (phase, since, role);

-- Deliveries that wait for a member. Apart from `deliveries`, so that claiming is a small write.
create table inbox (
  seq integer primary key autoincrement,
  delivery blob not null unique references deliveries (id),
  member text not null,
  phase text not null,
  visible_at integer not null default 0
);
create index inbox_member on inbox (member, seq);

-- Certificates and CRLs that many seals have in common: two thirds of each, kept once.
create table stapled (
  id integer primary key autoincrement,
  sha256 blob not null unique,
  bytes blob not null
);

-- `p7m` lacks the octets of `stapled`, which belong after its first `cut`; the view `sealed` has
-- the whole.
create table evidence (
  seq integer primary key autoincrement,
  id blob not null unique,
  message blob not null,
  deliveries blob not null,
  event text not null,
  reason text,
  node text not null,
  at integer not null,
  sealed_at integer not null,
  sha256 blob not null,
  stored_at integer not null,
  stapled integer,
  cut integer,
  p7m blob not null
);
create index evidence_message on evidence (message, seq);
create view sealed as
select e.seq, e.id, e.message, e.deliveries, e.event, e.reason, e.node, e.at, e.sealed_at,
  e.sha256, e.stored_at,
  case when e.stapled is null then e.p7m
    else cast(substr(e.p7m, 1, e.cut) || s.bytes || substr(e.p7m, e.cut + 1) as blob) end as p7m
from evidence as e left join stapled as s on s.id = e.stapled;

-- Anchors in time. Each holds all evidence between the last one and `last_seq`, in the order of
-- `seq`: `leaves` are their digests, 32 octets each. Since positions become visible in their order,
-- what waits for an anchor is what comes after the last one.
create table anchors (
  id integer primary key autoincrement,
  root blob not null unique,
  at integer not null,
  token blob not null,
  last_seq integer not null unique,
  leaves blob not null
);

-- What waits for a worker (`waiting`) or an operator (`dead`, `set-aside`). Of the waiting rows
-- of one (kind, order_key) exactly one is the head, the only one that may be claimed.
create table queue (
  id integer primary key autoincrement,
  state text not null,
  kind text not null,
  head integer not null,
  order_key text not null,
  due integer,
  attempts integer not null default 0,
  since integer not null,
  delivery blob,
  peer text,
  error text,
  payload blob not null
);
create index queue_claim on queue (kind, due, id) where head <> 0 and state = 'waiting';
create index queue_order on queue (kind, order_key, id) where state = 'waiting';
create index queue_state on queue (state, kind, id);
create unique index queue_frame on queue (order_key) where state = 'set-aside';

create table events (
  seq integer primary key autoincrement,
  member text not null,
  event text not null
);
create index events_member on events (member, seq);

create table uploads (
  id blob primary key,
  member text not null,
  name text not null,
  media_type text not null,
  size integer not null,
  sha256 blob not null,
  cipher_sha256 blob not null,
  cipher_size integer not null,
  wrapped_key blob not null,
  at integer not null,
  expires integer
);
create index uploads_expires on uploads (expires) where expires is not null;
create index uploads_cipher on uploads (cipher_sha256);

create table upload_uses (
  message blob not null,
  document blob not null,
  primary key (message, document)
);
create index upload_uses_document on upload_uses (document);

create table delivery_keys (
  delivery blob not null references deliveries (id),
  document blob not null,
  cipher_sha256 blob not null,
  cipher_size integer not null,
  wrapped_key blob not null,
  primary key (delivery, document)
);
create index delivery_keys_cipher on delivery_keys (cipher_sha256);

-- Messages of which a delivery was erased, and digests that may be without a reference: `sweep`
-- decides. A digest is offered to the caller twice, so that a crash in between loses nothing.
create table erased (message blob primary key);
create table garbage (cipher_sha256 blob primary key, offered integer not null default 0);

create table clients (
  client_id text primary key,
  secret_hash text not null,
  member text not null,
  scopes text not null,
  revoked_at integer
);

create table tokens (
  sha256 blob primary key,
  client_id text not null references clients (client_id),
  member text not null,
  scopes text not null,
  expires integer not null
);
create index tokens_expires on tokens (expires);

create table probe (id integer primary key, at integer not null);
