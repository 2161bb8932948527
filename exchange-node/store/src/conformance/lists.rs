//! Lists for people and workers: filters, cursors, order.

use exchange_core::state::{Phase, Role};
use schemas::event::Event;
use schemas::ids::{DeliveryId, DocumentId, MessageId};
use schemas::time::Timestamp;
use uuid::Uuid;

use super::tools::{
    NOON, Sample, Wrong, change, effect, ensure, only, same, sha256, write, written,
};
use crate::open;
use crate::rows::{
    Anchor, Change, DeliveryKey, DeliveryQuery, DeliveryWrite, InboxQuery, MessageQuery,
    NewEvidence, SetAside,
};

const SIRET: &str = "13002526500013";
const MEMBER: &str = "iso6523:0009:13002526500013";

/// Messages of a member, page by page, by filters; deliveries of messages.
pub(super) async fn messages_and_deliveries(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let mut samples = Vec::new();
    for i in 0..5 {
        let sample = Sample::new(if i == 2 { "35600000000048" } else { SIRET }, 1 + i)?;
        written(store.as_ref(), &[sample.arrival(&format!("m{i}"))]).await?;
        samples.push(sample);
    }
    let ids = |rows: Vec<crate::rows::MessageRow>| {
        rows.iter().map(|row| row.envelope.message_id).collect::<Vec<_>>()
    };
    let id = |i: usize| samples.get(i).map(|s| s.envelope.message_id);
    let mine = MessageQuery { member: Some(MEMBER.into()), limit: 3, ..MessageQuery::default() };
    let page = store.messages(&mine).await?;
    let after = page.last().map_or(0, |row| row.seq);
    same("first page", ids(page).into_iter().map(Some).collect::<Vec<_>>(), [id(0), id(1), id(3)])?;
    let rest = MessageQuery { after, ..mine.clone() };
    same("second page", ids(store.messages(&rest).await?).first().copied(), id(4))?;
    // Each has one document of seven octets, and was stored at noon.
    same("usage", store.usage(MEMBER, NOON, 9).await?, (4, 28))?;
    same("of the newest two", store.usage(MEMBER, NOON, 2).await?, (2, 14))?;
    same("usage after noon", store.usage(MEMBER, NOON.plus(1), 9).await?, (0, 0))?;
    same("of a stranger", store.usage("iso6523:0009:1", NOON, 9).await?, (0, 0))?;
    let all = MessageQuery { limit: 9, ..MessageQuery::default() };
    same("all", store.messages(&all).await?.len(), 5)?;
    for (query, expected) in [
        (MessageQuery { process: Some("AEC".into()), ..mine.clone() }, 3),
        (MessageQuery { process: Some("URBA".into()), ..mine.clone() }, 0),
        (MessageQuery { state: Some("accepted".into()), ..mine.clone() }, 3),
        (MessageQuery { state: Some("consigned".into()), ..mine.clone() }, 0),
        (MessageQuery { id: id(0), ..mine.clone() }, 1),
        (MessageQuery { id: id(2), ..mine.clone() }, 0),
        (MessageQuery { id: id(2), ..all.clone() }, 1),
    ] {
        same(&format!("{query:?}"), store.messages(&query).await?.len(), expected)?;
    }
    let two: Vec<MessageId> = [id(1), id(4)].into_iter().flatten().collect();
    let rows = store.deliveries(&DeliveryQuery { messages: two, after: 0, limit: 100 }).await?;
    same("deliveries of two", rows.len(), 2 + 5)?;
    let mut after = 0;
    let mut count = 0;
    loop {
        let query = DeliveryQuery { messages: Vec::new(), after, limit: 4 };
        let Some(last) = store.deliveries(&query).await?.last().map(|row| row.seq) else { break };
        count += store.deliveries(&query).await?.len();
        after = last;
    }
    same("all deliveries in pages", count, 1 + 2 + 3 + 4 + 5)
}

/// A delivery that a member of this node receives, in a phase.
fn received(sample: &Sample, phase: Phase, expected: Option<i64>) -> Result<DeliveryWrite, Wrong> {
    let mut delivery = sample.first()?;
    delivery.role = Role::Recipient;
    delivery.phase = phase;
    Ok(DeliveryWrite { recipient_member: Some("m".into()), ..write(delivery, expected) })
}

fn moved(cause: &str, write: DeliveryWrite) -> Change {
    let mut change = change(cause);
    change.deliveries = vec![write];
    change
}

/// Items enter in the order in which they become available, and hide when they are claimed.
pub(super) async fn the_inbox(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let list = |after, claim, now: Timestamp| {
        let store = store.clone();
        async move {
            let query = InboxQuery { member: "m".into(), id: None, after, limit: 10, claim, now };
            let rows = store.inbox(&query).await?;
            Ok::<Vec<(i64, DeliveryId)>, Wrong>(
                rows.iter().map(|r| (r.seq, r.delivery.id)).collect(),
            )
        }
    };
    let (first, second) = (Sample::new(SIRET, 1)?, Sample::new(SIRET, 1)?);
    for (cause, sample) in [("a1", &first), ("b1", &second)] {
        let mut arrival = sample.arrival(cause);
        arrival.deliveries = vec![received(sample, Phase::Relayed, None)?];
        written(store.as_ref(), &[arrival]).await?;
    }
    same("nothing waits", list(0, None, NOON).await?.len(), 0)?;
    // The younger delivery becomes available first: it is the first item.
    written(store.as_ref(), &[moved("b2", received(&second, Phase::Consigned, Some(1))?)]).await?;
    let seen = only(list(0, None, NOON).await?)?;
    written(store.as_ref(), &[moved("a2", received(&first, Phase::AwaitingAcceptance, Some(1))?)])
        .await?;
    let later = only(list(seen.0, None, NOON).await?)?;
    same("order", (seen.1, later.1), (second.first()?.id, first.first()?.id))?;

    same("claimed", list(0, Some(500), NOON).await?, [seen, later])?;
    same("hidden from claims", list(0, Some(500), NOON.plus(499)).await?.len(), 0)?;
    same("not from lists", list(0, None, NOON.plus(499)).await?.len(), 2)?;
    written(store.as_ref(), &[moved("a3", received(&first, Phase::Consigned, Some(2))?)]).await?;
    same("seen again after a change", list(0, Some(500), NOON.plus(499)).await?, [later])?;
    same("visibility ran out", list(0, Some(500), NOON.plus(500)).await?, [seen])?;
    written(store.as_ref(), &[moved("b3", received(&second, Phase::HandedOver, Some(2))?)]).await?;
    same("taken", list(0, None, NOON.plus(2_000)).await?, [later])?;
    let one = |member: &str, id| InboxQuery {
        member: member.into(),
        id: Some(id),
        after: 0,
        limit: 1,
        claim: None,
        now: NOON,
    };
    let taken = only(store.inbox(&one("m", seen.1)).await?)?;
    same("one, in whatever state", taken.delivery.phase, Phase::HandedOver)?;
    same("of somebody else", store.inbox(&one("x", seen.1)).await?.len(), 0)
}

/// What waits for members, in deliveries and octets of content: what is taken makes room. One waits
/// from the time when it came, the other enters the inbox later.
pub(super) async fn what_waits_for_members(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let (first, second) = (Sample::new(SIRET, 1)?, Sample::new(SIRET, 1)?);
    let (at_once, later) = (Phase::Consigned, Phase::Relayed);
    for (cause, sample, phase, sizes) in
        [("a", &first, at_once, &[100, 20][..]), ("b", &second, later, &[3][..])]
    {
        let delivery = sample.first()?.id;
        let key = |size: &u64| DeliveryKey {
            delivery,
            document: DocumentId(Uuid::new_v4()),
            cipher_sha256: sha256(&size.to_be_bytes()),
            cipher_size: *size,
            wrapped_key: vec![1],
        };
        let mut arrival = sample.arrival(cause);
        arrival.deliveries = vec![received(sample, phase, None)?];
        arrival.keys = sizes.iter().map(key).collect();
        written(store.as_ref(), &[arrival]).await?;
    }
    let asked = ["m".to_owned(), "nobody".to_owned()];
    let waits = async || store.inboxes(&asked).await;
    same("the first", waits().await?, [("m".to_owned(), 1, 120)])?;
    let entered = moved("entered", received(&second, Phase::Consigned, Some(1))?);
    written(store.as_ref(), &[entered]).await?;
    same("both", waits().await?, [("m".to_owned(), 2, 123)])?;
    let taken = moved("taken", received(&first, Phase::HandedOver, Some(1))?);
    written(store.as_ref(), &[taken]).await?;
    same("one", waits().await?, [("m".to_owned(), 1, 3)])?;
    same("of nobody", store.inboxes(&[]).await?.len(), 0)
}

/// Deliveries that are due, the oldest first.
pub(super) async fn what_is_due(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let mut expected = Vec::new();
    for i in 0..6_i64 {
        let sample = Sample::new(SIRET, 1)?;
        let mut arrival = sample.arrival(&format!("d{i}"));
        for write in &mut arrival.deliveries {
            write.delivery.timers.consign = (i != 3).then(|| NOON.plus(100 - i));
        }
        written(store.as_ref(), &[arrival]).await?;
        expected.insert(0, sample.first()?.id);
    }
    expected.remove(2);
    same("all", store.due(NOON.plus(100), 10).await?, &expected)?;
    same(
        "the oldest two",
        store.due(NOON.plus(100), 2).await?,
        expected.get(..2).unwrap_or_default(),
    )?;
    same("none yet", store.due(NOON.plus(94), 10).await?.len(), 0)
}

/// Figures tell what is there, and the probe goes round.
pub(super) async fn figures_and_probe(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    same("empty", store.counts(NOON).await?, crate::rows::Counts::default())?;
    let sample = Sample::new(SIRET, 2)?;
    let mut arrival = sample.arrival("a");
    if let Some(write) = arrival.deliveries.first_mut() {
        write.delivery.phase = Phase::Relaying;
        write.delivery.since = NOON.plus(-5);
    }
    arrival.effects = vec![effect("k", NOON, b"x"), effect("k", NOON, b"y")];
    arrival.evidence = vec![sample.evidence(Event::SubmissionAcceptance, 10)?];
    written(store.as_ref(), &[arrival]).await?;
    let aside = SetAside {
        frame_id: "f".into(),
        lane: "message".into(),
        source: "x".into(),
        code: "seal-invalid".into(),
        detail: "no".into(),
        body: vec![1],
        frame: vec![1],
        at: NOON,
    };
    store.set_aside(&[aside]).await?;
    let counts = store.counts(NOON).await?;
    let group = |phase: &str| ("sender".to_owned(), phase.to_owned(), 1);
    same("deliveries", counts.deliveries, [group("accepted"), group("relaying")])?;
    same("waiting", counts.waiting, [("publish".to_owned(), 2)])?;
    same("evidence", (counts.evidence, counts.set_aside, counts.dead), ((1, 1), 1, 0))?;
    same("unsent", counts.oldest_unsent, Some(NOON))?;
    same("unacknowledged", counts.oldest_unacknowledged, Some(NOON.plus(-5)))?;
    same("unanchored", counts.oldest_unanchored, Some(NOON))?;
    same("uncollected", counts.oldest_uncollected, None::<()>)?;
    let peers = store.unsent_by_peer().await?;
    same("by destination", peers, [("cd-34".to_owned(), 2, NOON)])?;
    store.probe(NOON).await?;
    Ok(store.probe(NOON.plus(1)).await?)
}

/// Tokens for ten thousand evidences; the first anchor of an evidence stays, and none is left out.
pub(super) async fn anchors_of_ten_thousand(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let sample = Sample::new(SIRET, 1)?;
    let template = sample.evidence(Event::SubmissionAcceptance, 40)?;
    let mut ids = Vec::new();
    for batch in 0..10 {
        let mut bulk = change(&format!("bulk {batch}"));
        bulk.evidence = (0..1_000).map(|_| fresh(&template)).collect();
        ids.extend(bulk.evidence.iter().map(|e| e.id));
        written(store.as_ref(), &[bulk]).await?;
    }
    same("age", store.oldest_unanchored().await?, Some(NOON))?;
    let mut leaves = Vec::new();
    loop {
        let after = leaves.last().map_or(0, |(seq, _)| *seq);
        let page = store.unanchored(after, 3_000).await?;
        if page.is_empty() {
            break;
        }
        leaves.extend(page.iter().map(|u| (u.seq, u.sha256)));
    }
    same("leaves", leaves.len(), 10_000)?;
    let half = leaves.len() / 2;
    let anchor = |token: &[u8], range: std::ops::Range<usize>| Anchor {
        token: token.to_vec(),
        root: sha256(token),
        at: NOON.plus(7),
        leaves: leaves.get(range).unwrap_or_default().to_vec(),
    };
    same("a later half alone", store.anchor(&anchor(b"late", half..2 * half)).await?, false)?;
    let mut holed = anchor(b"holed", 0..half);
    holed.leaves.remove(7);
    same("one left out", store.anchor(&holed).await?, false)?;
    same("half", store.anchor(&anchor(b"first", 0..half)).await?, true)?;
    same("again", store.anchor(&anchor(b"first", 0..half)).await?, false)?;
    same("half is left", store.unanchored(0, 9_999).await?.len(), half)?;
    same("more", store.anchor(&anchor(b"more", 0..2 * half)).await?, false)?;
    same("the other half", store.anchor(&anchor(b"second", half..2 * half)).await?, true)?;
    same("none is left", store.unanchored(0, 10).await?.len(), 0)?;
    same("no age", store.oldest_unanchored().await?, None::<()>)?;
    let all = store.anchored(&ids).await?;
    same("places", all.len(), 10_000)?;
    let digests: Vec<_> = leaves.iter().map(|(_, sha256)| *sha256).collect();
    for one in &all {
        let place = ids.iter().position(|id| *id == one.id).unwrap_or(usize::MAX);
        let (token, range) =
            if place < half { ("first", 0..half) } else { ("second", half..2 * half) };
        let tree = &one.tree;
        let same_leaves = digests.get(range) == Some(tree.leaves.as_slice());
        ensure!(same_leaves && tree.at == NOON.plus(7), "the tree of {}", one.id);
        same("token", tree.token.as_slice(), token.as_bytes())?;
        let leaf = tree.leaves.get(one.index).copied();
        same("leaf", leaf, Some(sha256(one.id.0.as_bytes())))?;
    }
    let row = store.evidence_after(0, 1).await?;
    same("anchored at", only(row)?.anchored_at, Some(NOON.plus(7)))
}

fn fresh(template: &NewEvidence) -> NewEvidence {
    let id = schemas::ids::EvidenceId(Uuid::new_v4());
    let p7m = id.0.as_bytes().to_vec();
    NewEvidence { id, sha256: sha256(&p7m), p7m, ..template.clone() }
}
