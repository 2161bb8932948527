//! The line of a conversation: dispatches of one sender, recipient and conversation are decided
//! about in the order in which they came, so that an inbox shows them so.
//!
//! A dispatch that waits for its content stands in the line of its conversation, and so does every
//! later one of it; other conversations pass. A line is the rows of one order key in the archive,
//! whose head alone is ever claimed: it outlives the process, and all replicas see the same. The
//! head goes with the transaction that decides about it, or steps out when others have waited for
//! it too long (`ops/adr/0028-the-order-of-a-conversation.md`).

use std::collections::HashSet;

use broker_adapter::{Lane, Received as Frame};
use exchange_core::working_days::Territory;
use exchange_core::{deadline, rules};
use exchange_store::rows::{Cause, Change, EffectKind, NewEffect};
use schemas::catalogue::Span;
use schemas::envelope::Envelope;
use schemas::frame::{self, BadFrame, DispatchFrame};
use schemas::ids::DeliveryId;
use schemas::time::Timestamp;
use schemas::trace::TraceContext;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::consumer::Again;
use super::dispatch::Found;
use super::trace::Receiving;
use crate::engine::item::Work;
use crate::engine::publication;
use crate::node::Node;

/// Octets of content that are verified while other dispatches wait; more is verified apart.
const AT_ONCE: u64 = 4 << 20;

/// A dispatch that stands in a line, or waits by itself. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// As it came, without the ciphertexts that are in the content store already.
    pub frame: DispatchFrame,
    /// When it came; not known of those that an earlier release kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The span that brought it: kept here, so that a trace outlives a restart.
    #[serde(
        default,
        deserialize_with = "publication::context",
        skip_serializing_if = "Option::is_none"
    )]
    pub trace: Option<TraceContext>,
}

impl Standing {
    /// Reads a row; those of earlier releases are the frame alone.
    ///
    /// # Errors
    /// It is neither.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadFrame> {
        frame::decode(bytes)
            .or_else(|_| frame::decode(bytes).map(|frame| Self { frame, since: None, trace: None }))
    }
}

/// The line of a dispatch. Names are of any length and chosen by members: hashed.
#[must_use]
pub fn of(envelope: &Envelope, recipient_index: u32) -> String {
    let recipient = envelope.recipients.get(recipient_index as usize);
    let recipient = recipient.map(schemas::party::Party::key).unwrap_or_default();
    let (sender, conversation) = (envelope.sender.key(), &envelope.conversation_id);
    let name = format!("line\n{sender}\n{recipient}\n{conversation}");
    format!("line/{}", Uuid::new_v5(&schemas::ids::namespace(), name.as_bytes()))
}

/// Where a dispatch waits that has stepped out of its line.
fn beside(delivery: DeliveryId) -> String {
    format!("parked/{delivery}")
}

/// Sorts dispatches, in the order in which they came: those that may be decided about are added to
/// `work`, the others are returned, to be [kept](keep) once that work is done: the line of a
/// conversation must not move before what came ahead of it.
pub(super) async fn sort(
    node: &Node,
    (batch, receiving): (&[Frame], &Receiving),
    founds: Vec<(usize, Found)>,
    work: &mut Vec<(usize, Work)>,
) -> Result<Vec<Change>, Again> {
    if founds.is_empty() {
        return Ok(Vec::new());
    }
    let key = |found: &Found| of(&found.arrived.envelope, found.arrived.recipient_index);
    let keys: HashSet<String> = founds.iter().map(|(_, found)| key(found)).collect();
    let keys: Vec<String> = keys.into_iter().collect();
    let mut lines: HashSet<String> =
        node.store.waiting(EffectKind::Wake, &keys).await?.into_iter().collect();
    // What may have been decided about before the node was restored stands until that is known.
    let known = node.recollection.is_over();
    let mut rows = Vec::new();
    for (i, mut found) in founds {
        let line = key(&found);
        // What is refused shows in no inbox, and overtakes nothing.
        let refused = !found.arrived.findings.is_empty();
        if known && (refused || (!lines.contains(&line) && at_hand(node, &mut found).await?)) {
            work.push((i, found.into_work()));
        } else if let Some(received) = batch.get(i) {
            let frame = frame::decode(&received.frame.body);
            let frame = frame.map_err(|e| Again::Engine(e.to_string()))?;
            rows.push(row(node, frame, &found, receiving.context(i)));
            lines.insert(line);
        }
    }
    Ok(rows)
}

/// Whether all content is here, verified while others wait since there is little of it.
pub(crate) async fn at_hand(node: &Node, found: &mut Found) -> Result<bool, Again> {
    if found.apart.is_empty() {
        return Ok(true);
    }
    if !is_little(found) || !node.content_is_here(&found.apart).await? {
        return Ok(false);
    }
    node.check_plaintexts(found).await?;
    Ok(true)
}

/// Whether so little content travelled by itself that nobody minds to wait for it.
pub(crate) fn is_little(found: &Found) -> bool {
    found.apart.iter().map(|c| c.cipher_size).sum::<u64>() <= AT_ONCE
}

/// The row of a dispatch at the end of its line: its frame may be acknowledged then.
pub(super) fn row(
    node: &Node,
    mut frame: DispatchFrame,
    found: &Found,
    trace: Option<TraceContext>,
) -> Change {
    // Documents do not belong into the database; they are in the content store, if intact.
    if found.arrived.findings.is_empty() {
        frame.inline.clear();
    }
    let now = node.clock.now();
    let cause = format!("parked/{}/{}", Lane::Message, found.arrived.sealed.sha256);
    let order_key = of(&found.arrived.envelope, found.arrived.recipient_index);
    let payload = frame::encode(&Standing { frame, since: Some(now), trace });
    Change { effects: vec![wake(order_key, now, payload)], ..Change::new(Cause(cause), now) }
}

/// Makes rows durable, each once.
pub(super) async fn keep(node: &Node, rows: Vec<Change>) -> Result<(), Again> {
    if rows.is_empty() {
        return Ok(());
    }
    node.store.commit(&rows).await?;
    rows.iter().for_each(|row| node.wakes.after(row));
    Ok(())
}

/// How long the others of a line wait for its head: half the time in which their senders' nodes
/// want an answer. They still have the other half.
fn patience(since: Timestamp, answer: Span) -> Timestamp {
    let answered = deadline::after(since, answer, Territory::Metropole);
    since.plus(answered.since(since) / 2)
}

/// Until when the head of a line may stand there. None for who stands in no line.
#[must_use]
pub(crate) fn stands_until(
    node: &Node,
    order_key: &str,
    standing: &Standing,
    found: &Found,
) -> Option<Timestamp> {
    let since = standing.since.filter(|_| order_key.starts_with("line/"))?;
    let catalogue = &node.directory.current().catalogue;
    let answer = rules::deadlines(catalogue, &found.arrived.envelope.process).relay_ack;
    Some(patience(since, answer))
}

/// The head of a line steps out: it goes on waiting beside the line, as long as a dispatch may.
#[must_use]
pub(crate) fn step_out(now: Timestamp, id: i64, standing: &Standing, found: &Found) -> Change {
    let payload = frame::encode(standing);
    let effects = vec![wake(beside(found.delivery), now, payload)];
    Change { effects, settles: vec![id], ..Change::new(Cause::once(), now) }
}

fn wake(order_key: String, due: Timestamp, payload: Vec<u8>) -> NewEffect {
    NewEffect { kind: EffectKind::Wake, delivery: None, to: None, order_key, due, payload }
}

#[cfg(test)]
mod tests {
    use schemas::bytes::Octets;
    use schemas::sample;
    use schemas::time::{DAY, HOUR};

    use super::*;

    #[test]
    fn a_line_is_of_one_sender_one_recipient_and_one_conversation() {
        let one = sample::envelope();
        let line = of(&one, 0);
        let mut other = one.clone();
        other.conversation_id = "another".parse().unwrap();
        assert_ne!(of(&other, 0), line);
        let mut other = one.clone();
        other.sender = one.recipients[0].clone();
        assert_ne!(of(&other, 0), line);
        let mut other = one.clone();
        other.recipients[0] = one.sender.clone();
        assert_ne!(of(&other, 0), line);
        let mut later = one;
        later.message_id = schemas::ids::MessageId(Uuid::nil());
        later.subject = None;
        assert_eq!(of(&later, 0), line, "of another message");
    }

    #[test]
    fn rows_are_read_as_they_were_written_also_by_earlier_releases() {
        let frame =
            DispatchFrame { dispatch: Octets(vec![1, 2]), inline: Vec::new(), relays: Vec::new() };
        let trace = TraceContext::new([1; 16], [2; 8], true);
        let row = Standing { frame: frame.clone(), since: Some(Timestamp::from_secs(7)), trace };
        assert_eq!(Standing::from_bytes(&frame::encode(&row)), Ok(row));
        let before = Standing { frame: frame.clone(), since: None, trace: None };
        assert_eq!(Standing::from_bytes(&frame::encode(&frame)), Ok(before));
        assert!(Standing::from_bytes(b"else").is_err());
    }

    #[test]
    fn others_wait_half_the_time_in_which_an_answer_is_due() {
        let since = Timestamp::from_secs(1_800_000_000);
        assert_eq!(patience(since, Span::Hours(24)), since.plus(12 * HOUR));
        let days = patience(since, Span::Days(4)).since(since);
        assert!((2 * DAY..5 * DAY / 2).contains(&days), "{days}");
        assert_eq!(patience(since, Span::Hours(0)), since);
    }
}
