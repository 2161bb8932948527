//! An archive and a content store whose calls fail: before they did anything, or after.
//!
//! The true ones behind them are those of the product. A call to them takes no time in the
//! simulation; the wrapper adds it, before and after, and these are the points where a kill hits.
//! A look that would find nothing again, as the last one did, is answered without asking.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use exchange_store::content::{Buffers, Content, ContentError, Writer};
use exchange_store::rows::*;
use exchange_store::snapshot::Snapshot;
use exchange_store::{Store, StoreError};
use futures::StreamExt as _;
use schemas::digest::Digest;
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId, NodeId};
use schemas::time::{SECOND, Timestamp};

use crate::ground::at_once;
use crate::life::Life;
use crate::site::{End, Site, Topic};
use crate::tally::{Tally, count};

/// Both, as one life of a node sees them.
#[derive(Clone)]
pub struct Faulty {
    /// The place.
    pub site: Arc<Site>,
    /// The life.
    pub life: Arc<Life>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({}, {})", self.site.plan.id, self.life.number)
    }
}

impl Faulty {
    /// A paused destination gets its next probe within the minute.
    fn rests(&self, now: Timestamp) {
        (1..=12).for_each(|step| self.site.agenda.add(now.plus(step * 5 * SECOND)));
    }

    async fn call<T, E>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
        error: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        let site = &self.site;
        let (end, before, after) = (
            site.end(),
            site.odds.wait(&site.dice, &site.times),
            site.odds.wait(&site.dice, &site.times),
        );
        count(Tally::Call);
        self.life.step(before).await;
        if end != End::Well {
            site.times.note(|| format!("{}: {name}: {end:?}", site.plan.id));
        }
        if end == End::Failed {
            return Err(error("fate: nothing was done".to_owned()));
        }
        let answer = at_once(work);
        self.life.step(after).await;
        if end == End::Persisted {
            return Err(error("fate: it was done, and nobody heard".to_owned()));
        }
        answer
    }

    async fn read<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.call(name, work, StoreError::Unavailable).await
    }

    async fn write<T>(
        &self,
        name: &str,
        topics: &[Topic],
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let site = Arc::clone(&self.site);
        let noted = async move {
            let answer = work.await;
            site.written(topics);
            answer
        };
        self.call(name, noted, StoreError::Unavailable).await
    }

    /// Looks for work: what is handed out is hidden, hence written.
    async fn look<T>(
        &self,
        topic: Topic,
        name: String,
        now: Timestamp,
        again: Option<Timestamp>,
        work: impl Future<Output = Result<Vec<T>, StoreError>>,
    ) -> Result<Vec<T>, StoreError> {
        self.life.pass().await;
        if self.site.is_idle(topic, &name, now) {
            return Ok(Vec::new());
        }
        let site = Arc::clone(&self.site);
        let version = site.version(topic);
        let noted = async {
            let answer = work.await;
            match &answer {
                Ok(rows) if rows.is_empty() => site.found_nothing(version, &name, now),
                _ => {
                    again.into_iter().for_each(|at| site.agenda.add(at));
                    site.written(&[topic]);
                }
            }
            answer
        };
        self.call(&name, noted, StoreError::Unavailable).await
    }
}

fn due(agenda: &crate::life::Agenda, change: &Change) {
    change.effects.iter().for_each(|e| agenda.add(e.due));
    change.deliveries.iter().filter_map(|d| d.delivery.next_due()).for_each(|at| agenda.add(at));
}

#[async_trait]
impl Store for Faulty {
    async fn load(
        &self,
        causes: &[Cause],
        deliveries: &[DeliveryId],
        messages: &[MessageId],
    ) -> Result<Loaded, StoreError> {
        self.read("load", self.site.store.load(causes, deliveries, messages)).await
    }
    async fn commit_and_claim(
        &self,
        batch: &[Change],
        lease_ms: i64,
    ) -> Result<Handed, StoreError> {
        batch.iter().for_each(|change| self.site.agenda.add(change.now.plus(lease_ms)));
        batch.iter().for_each(|change| due(&self.site.agenda, change));
        let some = |any: bool, topic| any.then_some(topic);
        let topics: Vec<Topic> = batch
            .iter()
            .flat_map(|c| {
                [
                    some(!c.effects.is_empty() || !c.settles.is_empty(), Topic::Queue),
                    some(!c.deliveries.is_empty(), Topic::Due),
                    some(!c.deliveries.is_empty(), Topic::Inbox),
                    some(!c.evidence.is_empty(), Topic::Objects),
                ]
            })
            .flatten()
            .collect();
        self.write("commit", &topics, self.site.store.commit_and_claim(batch, lease_ms)).await
    }
    async fn claim(
        &self,
        kind: EffectKind,
        now: Timestamp,
        lease_ms: i64,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let work = self.site.store.claim(kind, now, lease_ms, limit);
        let look = format!("claim {kind:?}");
        let claimed = self.look(Topic::Queue, look, now, Some(now.plus(lease_ms)), work).await?;
        if claimed.iter().any(|claim| claim.probe) {
            self.rests(now);
        }
        Ok(claimed)
    }
    async fn settle(&self, batch: &[Settlement], now: Timestamp) -> Result<bool, StoreError> {
        for one in batch {
            if let Settlement::Retry { due, .. } = one {
                self.site.agenda.add(*due);
            }
        }
        self.write("settle", &[Topic::Queue], self.site.store.settle(batch, now)).await
    }
    async fn tried(&self, deliveries: &[DeliveryId]) -> Result<Vec<DeliveryId>, StoreError> {
        self.read("tried", self.site.store.tried(deliveries)).await
    }
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<DeliveryId>, StoreError> {
        self.look(Topic::Due, "due".to_owned(), now, None, self.site.store.due(now, limit)).await
    }
    async fn set_aside(&self, rows: &[SetAside]) -> Result<(), StoreError> {
        self.write("set_aside", &[], self.site.store.set_aside(rows)).await
    }
    async fn waiting(&self, kind: EffectKind, keys: &[String]) -> Result<Vec<String>, StoreError> {
        self.read("waiting", self.site.store.waiting(kind, keys)).await
    }
    async fn queue(&self, query: &QueueQuery) -> Result<Vec<QueueRow>, StoreError> {
        self.read("queue", self.site.store.queue(query)).await
    }
    async fn unsent_by_peer(&self) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        self.read("unsent_by_peer", self.site.store.unsent_by_peer()).await
    }
    async fn unsent(&self, most: u32) -> Result<u64, StoreError> {
        let now = self.site.times.now();
        self.life.pass().await;
        if self.site.is_idle(Topic::Queue, "unsent", now) {
            return Ok(0);
        }
        let version = self.site.version(Topic::Queue);
        let unsent = self.read("unsent", self.site.store.unsent(most)).await?;
        if unsent == 0 {
            self.site.found_nothing(version, "unsent", now);
        }
        Ok(unsent)
    }
    async fn redrive(&self, ids: &[i64], now: Timestamp) -> Result<u64, StoreError> {
        self.write("redrive", &[Topic::Queue], self.site.store.redrive(ids, now)).await
    }
    async fn close_dead(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        self.write("close_dead", &[Topic::Queue], self.site.store.close_dead(ids)).await
    }
    async fn usage(
        &self,
        member: &str,
        since: Timestamp,
        limit: u32,
    ) -> Result<(u64, u64), StoreError> {
        self.read("usage", self.site.store.usage(member, since, limit)).await
    }
    async fn inboxes(&self, members: &[String]) -> Result<Vec<(String, u64, u64)>, StoreError> {
        self.read("inboxes", self.site.store.inboxes(members)).await
    }
    async fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        self.read("peers", self.site.store.peers()).await
    }
    async fn rule_peer(&self, row: &PeerRow) -> Result<(), StoreError> {
        self.write("rule_peer", &[Topic::Queue], self.site.store.rule_peer(row)).await
    }
    async fn pause_peer(
        &self,
        peer: &NodeId,
        now: Timestamp,
        error: &str,
    ) -> Result<(), StoreError> {
        self.rests(now);
        let done = self.site.store.pause_peer(peer, now, error);
        self.write("pause_peer", &[Topic::Queue], done).await
    }
    async fn resume_peer(&self, peer: &NodeId) -> Result<(), StoreError> {
        self.write("resume_peer", &[Topic::Queue], self.site.store.resume_peer(peer)).await
    }
    async fn unanchored(&self, after: i64, limit: u32) -> Result<Vec<Unanchored>, StoreError> {
        let now = self.site.times.now();
        self.life.pass().await;
        if self.site.is_idle(Topic::Objects, "unanchored", now) {
            return Ok(Vec::new());
        }
        let version = self.site.version(Topic::Objects);
        let rows = self.read("unanchored", self.site.store.unanchored(after, limit)).await?;
        if rows.is_empty() && after == 0 {
            self.site.found_nothing(version, "unanchored", now);
        }
        Ok(rows)
    }
    async fn oldest_unanchored(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.site.times.now();
        self.life.pass().await;
        if self.site.is_idle(Topic::Objects, "oldest", now) {
            return Ok(None);
        }
        let version = self.site.version(Topic::Objects);
        let oldest = self.read("oldest", self.site.store.oldest_unanchored()).await?;
        if oldest.is_none() {
            self.site.found_nothing(version, "oldest", now);
        }
        Ok(oldest)
    }
    async fn anchor(&self, anchor: &Anchor) -> Result<bool, StoreError> {
        self.write("anchor", &[Topic::Objects], self.site.store.anchor(anchor)).await
    }
    async fn anchored(&self, ids: &[EvidenceId]) -> Result<Vec<Anchored>, StoreError> {
        self.read("anchored", self.site.store.anchored(ids)).await
    }
    async fn messages(&self, query: &MessageQuery) -> Result<Vec<MessageRow>, StoreError> {
        self.read("messages", self.site.store.messages(query)).await
    }
    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read("deliveries", self.site.store.deliveries(query)).await
    }
    async fn inbox(&self, query: &InboxQuery) -> Result<Vec<DeliveryRow>, StoreError> {
        let again = query.claim.map(|ms| query.now.plus(ms));
        let name = format!("inbox {} {:?}", query.member, query.id);
        self.look(Topic::Inbox, name, query.now, again, self.site.store.inbox(query)).await
    }
    async fn evidence_of(&self, message: MessageId) -> Result<Vec<EvidenceRow>, StoreError> {
        self.read("evidence_of", self.site.store.evidence_of(message)).await
    }
    async fn evidence(&self, id: EvidenceId) -> Result<Option<EvidenceRow>, StoreError> {
        self.read("evidence", self.site.store.evidence(id)).await
    }
    async fn sealed(&self, ids: &[EvidenceId]) -> Result<Vec<(EvidenceId, Vec<u8>)>, StoreError> {
        self.read("sealed", self.site.store.sealed(ids)).await
    }
    async fn evidence_after(&self, seq: i64, limit: u32) -> Result<Vec<EvidenceRow>, StoreError> {
        self.read("evidence_after", self.site.store.evidence_after(seq, limit)).await
    }
    async fn events(&self, m: &str, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.read("events", self.site.store.events(m, after, limit)).await
    }
    async fn put_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.write("put_upload", &[], self.site.store.put_upload(upload)).await
    }
    async fn uploads(
        &self,
        member: &str,
        ids: &[DocumentId],
        now: Timestamp,
    ) -> Result<Vec<Upload>, StoreError> {
        self.read("uploads", self.site.store.uploads(member, ids, now)).await
    }
    async fn delivery_keys(&self, delivery: DeliveryId) -> Result<Vec<DeliveryKey>, StoreError> {
        self.read("delivery_keys", self.site.store.delivery_keys(delivery)).await
    }
    async fn put_client(&self, client: &ClientRow) -> Result<(), StoreError> {
        self.write("put_client", &[], self.site.store.put_client(client)).await
    }
    async fn client(&self, id: &str) -> Result<Option<ClientRow>, StoreError> {
        self.read("client", self.site.store.client(id)).await
    }
    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        self.read("clients", self.site.store.clients()).await
    }
    async fn put_token(&self, token: &TokenRow) -> Result<(), StoreError> {
        self.write("put_token", &[], self.site.store.put_token(token)).await
    }
    async fn token(&self, sha: &Digest, now: Timestamp) -> Result<Option<TokenRow>, StoreError> {
        self.read("token", self.site.store.token(sha, now)).await
    }
    async fn counts(&self, now: Timestamp) -> Result<Counts, StoreError> {
        self.read("counts", self.site.store.counts(now)).await
    }
    async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        self.read("probe", self.site.store.probe(now)).await
    }
    async fn sweep(&self, now: Timestamp, keep: i64) -> Result<Vec<Digest>, StoreError> {
        self.write("sweep", &[], self.site.store.sweep(now, keep)).await
    }
    /// The archive outlives the life.
    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.site.store.snapshot().await
    }
    async fn close(&self) {}
}

#[async_trait]
impl Content for Faulty {
    async fn put_all(&self, items: Vec<(Digest, Bytes)>) -> Result<(), ContentError> {
        let work = self.site.content.put_all(items);
        self.call("put_all", work, ContentError::Io).await
    }
    async fn begin(&self) -> Result<Box<dyn Writer>, ContentError> {
        let inner = if self.site.first_edition {
            at_once(self.site.content.begin())?
        } else {
            self.call("begin", self.site.content.begin(), ContentError::Io).await?
        };
        Ok(Box::new(Written { faulty: self.clone(), inner }))
    }
    async fn adopt(
        &self,
        file: &Path,
        expected: Digest,
        hashed: Option<Digest>,
    ) -> Result<(), ContentError> {
        self.call("adopt", self.site.content.adopt(file, expected, hashed), ContentError::Io).await
    }
    async fn read(
        &self,
        digest: &Digest,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Buffers, ContentError> {
        let work = async {
            let stream = self.site.content.read(digest, offset, length).await?;
            Ok(stream.collect::<Vec<_>>().await)
        };
        let buffers = self.call("content", work, ContentError::Io).await?;
        Ok(futures::stream::iter(buffers).boxed())
    }
    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        self.call("size", self.site.content.size(digest), ContentError::Io).await
    }
    async fn remove(&self, digests: &[Digest]) -> Result<(), ContentError> {
        self.call("remove", self.site.content.remove(digests), ContentError::Io).await
    }
    async fn probe(&self) -> Result<(), ContentError> {
        self.call("content probe", self.site.content.probe(), ContentError::Io).await
    }
}

/// A large content under way.
struct Written {
    faulty: Faulty,
    inner: Box<dyn Writer>,
}

#[async_trait]
impl Writer for Written {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ContentError> {
        if self.faulty.site.first_edition {
            return at_once(self.inner.write(bytes));
        }
        self.faulty.call("write", self.inner.write(bytes), ContentError::Io).await
    }
    async fn finish(
        self: Box<Self>,
        expected: Option<Digest>,
    ) -> Result<(Digest, u64), ContentError> {
        self.faulty.call("finish", self.inner.finish(expected), ContentError::Io).await
    }
}
