//! The loop: take what is there, load, decide, seal, commit, reply.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use exchange_core::decide::Context;
use exchange_core::policy::Policy;
use exchange_core::state::Delivery;
use exchange_store::rows::{Cause, Change, Committed, Handed, Loaded};
use exchange_store::{Store, StoreError};
use schemas::api::Step;
use schemas::envelope::Envelope;
use schemas::ids::{DeliveryId, NodeId};
use schemas::time::Timestamp;
use signing::encrypt::StorageKey;
use signing::seal::Sealer;
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::cores;
use crate::directory::{DirectoryWatch, Snapshot};
use crate::engine::hand::Hand;
use crate::engine::item::{Fact, Item, Kind, Reply};
use crate::engine::make::Maker;
use crate::engine::outcome::Outcome;
use crate::engine::recent::Recent;
use crate::engine::rule::{Plan, plan_submission, plan_work};
use crate::engine::{Acted, EngineError, Submitted, Written, trace};
use crate::pace::Pace;
use crate::spaces::Spaces;
use crate::telemetry::spans::Span;
use crate::wakes::Wakes;

/// Most items of one batch.
const MAX_BATCH: usize = 256;

/// The engine of one node.
#[derive(Debug)]
pub struct Engine {
    /// This node.
    pub node: NodeId,
    /// The archive.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The directory.
    pub directory: DirectoryWatch,
    /// The rules of this node.
    pub policy: Policy,
    /// The seal; replaced when CRLs or keys change.
    pub sealer: watch::Receiver<Arc<Sealer>>,
    /// The key for document keys at rest.
    pub storage: Arc<StorageKey>,
    /// How long evidence has waited for a token that no authority gives, in milliseconds, by the
    /// anchor worker.
    pub unanchored_age: watch::Receiver<i64>,
    /// What was sealed just now, for those who publish it.
    pub recent: Recent,
    /// Who waits for what.
    pub wakes: Wakes,
    /// The way to the publisher.
    pub hand: Hand,
    /// What may wait for members.
    pub spaces: Arc<Spaces>,
}

/// An item with what was decided about it.
struct Decided {
    item: Item,
    plan: Plan,
}

/// An item with what is to be written.
struct Ready {
    item: Item,
    outcome: Outcome,
    delivery: Option<Delivery>,
    written: Option<Written>,
}

impl Engine {
    /// Works until every door is gone.
    pub async fn run(self, mut items: mpsc::Receiver<Item>) {
        let mut waiting = VecDeque::new();
        let mut pace = Pace::default();
        loop {
            if waiting.is_empty() {
                match items.recv().await {
                    Some(item) => waiting.push_back(item),
                    None => return,
                }
            }
            if waiting.len() < MAX_BATCH {
                pace.next().await;
            }
            while waiting.len() < 4 * MAX_BATCH {
                match items.try_recv() {
                    Ok(item) => waiting.push_back(item),
                    Err(_) => break,
                }
            }
            let batch = take_batch(&mut waiting);
            pace.saw(batch.len());
            let again = self.process(batch).await;
            for item in again.into_iter().rev() {
                waiting.push_front(item);
            }
        }
    }

    /// Handles one batch; returns the items that met a concurrent writer.
    async fn process(&self, mut batch: Vec<Item>) -> Vec<Item> {
        let now = self.clock.now();
        batch.iter_mut().for_each(|item| self.answers(item));
        let causes: Vec<Cause> = batch.iter().filter_map(|i| i.cause.clone()).collect();
        let deliveries: Vec<DeliveryId> = batch.iter().filter_map(delivery_of).collect();
        let loaded = if causes.is_empty() && deliveries.is_empty() {
            Loaded::default()
        } else {
            match self.store.load(&causes, &deliveries, &[]).await {
                Ok(loaded) => loaded,
                Err(e) => return fail_all(batch, &e),
            }
        };
        let snapshot = self.directory.current();
        let here = (&self.node, &*snapshot);
        let full = self.spaces.full(self.store.as_ref(), (&batch, &loaded), here, now);
        let full = match full.await {
            Ok(full) => full,
            Err(e) => return fail_all(batch, &e),
        };
        let decided = self.decide_all(batch, (&loaded, &full), &snapshot, now);
        let Some((changes, ready)) = self.make_all(decided, snapshot, now).await else {
            return Vec::new();
        };
        self.commit(changes, ready).await
    }

    /// Evidence about a dispatch that waits for its answer settles it, as sent.
    fn answers(&self, item: &mut Item) {
        if let Kind::Deliver(work) = &mut item.kind
            && matches!(work.fact, Fact::Evidence(_))
        {
            work.settles.append(&mut self.hand.answered(work.delivery));
        }
    }

    fn decide_all(
        &self,
        batch: Vec<Item>,
        (loaded, full): (&Loaded, &HashSet<DeliveryId>),
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Vec<Decided> {
        let ctx = Context {
            now,
            node: &self.node,
            directory: &snapshot.directory,
            catalogue: &snapshot.catalogue,
            policy: &self.policy,
            full: false,
        };
        let unanchored_age = *self.unanchored_age.borrow();
        let mut decided = Vec::with_capacity(batch.len());
        for item in batch {
            let known = item.cause.as_ref().and_then(|c| loaded.outcomes.get(c));
            if let Some(outcome) = known.and_then(|bytes| Outcome::from_bytes(bytes)) {
                let delivery = delivery_of(&item).and_then(|id| loaded.deliveries.get(&id));
                reply_known(item, &outcome, delivery.map(|(d, _)| d.clone()));
                continue;
            }
            let plan = match &item.kind {
                Kind::Submit(submit) => Ok(plan_submission(submit, unanchored_age, &ctx)),
                Kind::Deliver(work) => {
                    let full = full.contains(&work.delivery);
                    plan_work(work, loaded, &Context { full, ..ctx })
                }
            };
            match plan {
                Ok(plan) if plan.is_empty() && settles(&item).is_empty() => {
                    let delivery = plan.deliveries.into_iter().next().map(|p| p.delivery);
                    answer(item.reply, &Outcome::Done { evidence: plan.answer }, delivery, None);
                }
                Ok(plan) => decided.push(Decided { item, plan }),
                Err(refusal) => {
                    item.reply.fail(EngineError::Refused { refusal, evidence: None, message: None })
                }
            }
        }
        decided
    }

    /// Seals on all cores. None when nothing is left to write.
    async fn make_all(
        &self,
        decided: Vec<Decided>,
        snapshot: Arc<Snapshot>,
        now: Timestamp,
    ) -> Option<(Vec<Change>, Vec<Ready>)> {
        if decided.is_empty() {
            return None;
        }
        let maker = Maker {
            node: self.node.clone(),
            sealer: Arc::clone(&self.sealer.borrow()),
            storage: Arc::clone(&self.storage),
            snapshot,
            now,
        };
        let begun = Instant::now();
        let made = cores::each(decided, move |one| make_one(&maker, one)).await.ok()?;
        metrics::histogram!("pli_seal_duration_seconds").record(begun.elapsed().as_secs_f64());
        let mut changes = Vec::with_capacity(made.len());
        let mut ready = Vec::with_capacity(made.len());
        for one in made {
            match one {
                Ok((change, done)) => {
                    changes.push(change);
                    ready.push(done);
                }
                Err((reply, error)) => {
                    tracing::error!(%error, "sealing failed");
                    reply.fail(error);
                }
            }
        }
        (!changes.is_empty()).then_some((changes, ready))
    }

    async fn commit(&self, changes: Vec<Change>, ready: Vec<Ready>) -> Vec<Item> {
        let begun = Instant::now();
        let results = self.store.commit_and_claim(&changes, self.hand.lease()).await;
        metrics::histogram!("pli_commit_duration_seconds").record(begun.elapsed().as_secs_f64());
        metrics::histogram!("pli_batch_items").record(changes.len() as f64);
        let Handed { answers, claimed, behind, more } = match results {
            Ok(handed) => handed,
            Err(e) => {
                return fail_all(ready.into_iter().map(|r| r.item).collect(), &e);
            }
        };
        let mut again = Vec::new();
        for ((result, mut change), done) in answers.into_iter().zip(changes).zip(ready) {
            match result {
                Committed::Written => {
                    self.recent.keep(&mut change);
                    self.wakes.after(&change);
                    if matches!(done.outcome, Outcome::Accepted { .. }) {
                        metrics::counter!("pli_submissions_total").increment(1);
                    }
                    if let Some(span) = done.item.span {
                        trace::written(span, &done.item.kind, &change, &self.node);
                    }
                    answer(done.item.reply, &done.outcome, done.delivery, done.written);
                }
                Committed::Known(bytes) => match Outcome::from_bytes(&bytes) {
                    Some(outcome) => reply_known(done.item, &outcome, done.delivery),
                    None => done
                        .item
                        .reply
                        .fail(EngineError::Store(StoreError::Corrupt("an outcome".to_owned()))),
                },
                Committed::Conflict => {
                    again.extend(self.conflict(done.item, &done.outcome).await);
                }
            }
        }
        // The publisher finds in memory what it needs.
        self.hand.give(claimed, behind, more);
        again
    }

    /// A concurrent writer was first: once more. A submission meets none but itself: a restored node
    /// knows the message from its neighbours, and not the key under which it was submitted.
    async fn conflict(&self, item: Item, outcome: &Outcome) -> Option<Item> {
        let Kind::Submit(submit) = &item.kind else { return Some(item) };
        let id = submit.envelope.message_id;
        match self.store.load(&[], &[], &[id]).await {
            Err(error) => drop(fail_all(vec![item], &error)),
            Ok(loaded) => match loaded.envelopes.get(&id) {
                None => return Some(item),
                Some(known) if is_same(known, &submit.envelope) => {
                    answer(item.reply, outcome, None, None);
                }
                Some(_) => item.reply.fail(mismatch(id)),
            },
        }
        None
    }
}

type Made = Result<(Change, Ready), (Reply, EngineError)>;

fn make_one(maker: &Maker, decided: Decided) -> Made {
    let Decided { item, mut plan } = decided;
    plan.trace = item.span.as_ref().map(Span::context);
    let cause = item.cause.clone().unwrap_or_else(Cause::once);
    let outcome = outcome_of(&item, &plan);
    let settled = settles(&item);
    match maker.make(plan, cause) {
        Ok(mut change) => {
            change.outcome = outcome.to_bytes();
            change.settles = settled;
            let (delivery, written) = match item.kind {
                Kind::Submit(_) => (None, written(&change)),
                Kind::Deliver(_) => (change.deliveries.first().map(|d| d.delivery.clone()), None),
            };
            Ok((change, Ready { item, outcome, delivery, written }))
        }
        Err(error) => Err((item.reply, error)),
    }
}

fn written(change: &Change) -> Option<Written> {
    let acceptance = change.evidence.first()?;
    Some(Written {
        envelope: Arc::clone(&change.message.as_ref()?.envelope),
        deliveries: change.deliveries.iter().map(|d| d.delivery.clone()).collect(),
        acceptance: Step {
            evidence_id: acceptance.id,
            event: acceptance.event.map_or("", |e| e.name()).to_owned(),
            code: acceptance.reason.map_or("", |r| r.code()).to_owned(),
            at: acceptance.at,
            node: acceptance.node.clone(),
            sealed: Some(acceptance.sealed_at),
            anchored: None,
            delay_seconds: None,
            supersedes: Vec::new(),
        },
    })
}

fn outcome_of(item: &Item, plan: &Plan) -> Outcome {
    match (&item.kind, &plan.refusal, plan.drafts.first()) {
        (Kind::Submit(submit), Some(refusal), Some(draft)) => Outcome::Rejected {
            fingerprint: submit.fingerprint,
            message: submit.envelope.message_id,
            evidence: draft.id,
            code: refusal.code,
            detail: refusal.detail.clone(),
            detail_fr: refusal.detail_fr.clone(),
        },
        (Kind::Submit(submit), _, _) => Outcome::Accepted {
            fingerprint: submit.fingerprint,
            message: submit.envelope.message_id,
        },
        (Kind::Deliver(_), _, _) => Outcome::Done { evidence: plan.answer },
    }
}

/// Takes items whose deliveries and causes are all different; the order per delivery stays.
fn take_batch(waiting: &mut VecDeque<Item>) -> Vec<Item> {
    let mut deliveries = HashSet::new();
    let mut causes = HashSet::new();
    let mut batch = Vec::new();
    let mut later = VecDeque::new();
    while let Some(item) = waiting.pop_front() {
        let delivery = delivery_of(&item);
        let cause = item.cause.clone();
        let free = delivery.is_none_or(|d| !deliveries.contains(&d))
            && cause.as_ref().is_none_or(|c| !causes.contains(c));
        deliveries.extend(delivery);
        causes.extend(cause);
        if free && batch.len() < MAX_BATCH {
            batch.push(item);
        } else {
            later.push_back(item);
        }
    }
    *waiting = later;
    batch
}

fn delivery_of(item: &Item) -> Option<DeliveryId> {
    match &item.kind {
        Kind::Submit(_) => None,
        Kind::Deliver(work) => Some(work.delivery),
    }
}

fn settles(item: &Item) -> Vec<i64> {
    match &item.kind {
        Kind::Submit(_) => Vec::new(),
        Kind::Deliver(work) => work.settles.clone(),
    }
}

fn fail_all(items: Vec<Item>, error: &StoreError) -> Vec<Item> {
    tracing::error!(%error, items = items.len(), "the database is away");
    for item in items {
        let again = match error {
            StoreError::Full(what) => StoreError::Full(what.clone()),
            other => StoreError::Unavailable(other.to_string()),
        };
        item.reply.fail(EngineError::Store(again));
    }
    Vec::new()
}

/// Answers an item whose cause is known.
fn reply_known(item: Item, outcome: &Outcome, delivery: Option<Delivery>) {
    let Item { kind, reply, .. } = item;
    if let (Kind::Submit(submit), Outcome::Accepted { fingerprint, message })
    | (Kind::Submit(submit), Outcome::Rejected { fingerprint, message, .. }) = (&kind, outcome)
        && submit.fingerprint != *fingerprint
    {
        return reply.fail(mismatch(*message));
    }
    answer(reply, outcome, delivery, None);
}

/// Whether two envelopes are of one request. Its documents may have been uploaded anew.
fn is_same(one: &Envelope, other: &Envelope) -> bool {
    let documents = |e: &Envelope| -> Vec<_> {
        e.documents.iter().map(|d| (d.name.clone(), d.size, d.sha256)).collect()
    };
    one.process == other.process
        && one.recipients == other.recipients
        && one.subject == other.subject
        && documents(one) == documents(other)
}

fn mismatch(message: schemas::ids::MessageId) -> EngineError {
    EngineError::Refused {
        refusal: exchange_core::refusal::Refusal::new(
            schemas::problem::Code::DuplicateMismatch,
            "This Idempotency-Key was used for another request.",
            "Cette clé Idempotency-Key a servi pour une autre requête.",
        ),
        evidence: None,
        message: Some(message),
    }
}

/// Whoever has gone away does not care about the answer.
fn answer(reply: Reply, outcome: &Outcome, delivery: Option<Delivery>, written: Option<Written>) {
    match (reply, outcome) {
        (Reply::Submit(tx), Outcome::Accepted { message, .. }) => {
            drop(tx.send(Ok(Submitted { message_id: *message, written })));
        }
        (
            Reply::Submit(tx),
            Outcome::Rejected { message, evidence, code, detail, detail_fr, .. },
        ) => {
            let refusal = exchange_core::refusal::Refusal::new(*code, detail, detail_fr);
            let error = EngineError::Refused {
                refusal,
                evidence: Some(*evidence),
                message: Some(*message),
            };
            drop(tx.send(Err(error)));
        }
        (Reply::Act(tx), Outcome::Done { evidence }) => match delivery {
            Some(delivery) => drop(tx.send(Ok(Acted { delivery, evidence: *evidence }))),
            None => drop(tx.send(Err(EngineError::Closed))),
        },
        (Reply::Done(tx), _) => drop(tx.send(Ok(()))),
        (reply, _) => reply.fail(EngineError::Closed),
    }
}
