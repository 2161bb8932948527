//! What goes in comes out.

use std::collections::HashSet;

use schemas::digest::Digest;
use schemas::event::Event;
use schemas::ids::DocumentId;
use schemas::party::Party;
use schemas::time::DAY;
use sqlx::{Executor as _, SqlSafeStr as _};
use uuid::Uuid;

use super::tools::{
    NOON, Sample, Wrong, change, effect, ensure, event, feed, only, same, sha256, written,
};
use crate::db::Db;
use crate::rows::{
    Cause, ClientRow, DeliveryKey, DeliveryQuery, EffectKind, Kind, MessageQuery, NewEvidence,
    TokenRow, Upload,
};
use crate::{open, sql};

/// The database accepts every statement.
pub(super) async fn every_statement_prepares(url: String) -> Result<(), Wrong> {
    open(&url).await?.close().await;
    let db = crate::open::connect(&url).await?;
    for statement in sql::ALL {
        let name = statement.name;
        let prepared = match &db {
            Db::Sqlite { writer, .. } => {
                writer.prepare(statement.sqlite.into_sql_str()).await.map(drop)
            }
            Db::Postgres(pool) => pool.prepare(statement.postgres.into_sql_str()).await.map(drop),
        };
        ensure!(prepared.is_ok(), "{name}: {prepared:?}");
    }
    Ok(())
}

/// Several processes may start at once, on an empty database or a full one.
pub(super) async fn opening_at_once(url: String) -> Result<(), Wrong> {
    for _ in 0..2 {
        let opened = futures::future::join_all((0..6).map(|_| open(&url))).await;
        for store in opened {
            store?.probe(NOON).await?;
        }
    }
    Ok(())
}

/// Every row of a change.
pub(super) async fn rows_round_trip(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let sample = Sample::new("13002526500013", 2)?;
    let first = sample.first()?;
    let evidence = sample.evidence(Event::SubmissionAcceptance, 3_000)?;
    let large = sample.evidence(Event::RelayAcceptance, 90_000)?;
    let dispatch = NewEvidence { kind: Kind::Dispatch, event: None, reason: None, ..large.clone() };
    let dispatch = NewEvidence { id: schemas::ids::EvidenceId(Uuid::new_v4()), ..dispatch };
    let key = DeliveryKey {
        delivery: first.id,
        document: DocumentId(Uuid::new_v4()),
        cipher_sha256: Digest([9; 32]),
        cipher_size: 1 << 40,
        wrapped_key: vec![0, 255, 0],
    };
    let mut arrival = sample.arrival("key/é");
    arrival.evidence = vec![evidence.clone(), large.clone(), dispatch.clone()];
    arrival.effects = vec![effect("k", NOON, &[0, 1, 2, 255]), effect("k", NOON, &[])];
    arrival.events = vec![event("m", "one"), event("other", "two"), event("m", "three")];
    arrival.keys = vec![key.clone()];
    written(store.as_ref(), &[arrival.clone()]).await?;

    let loaded =
        store.load(&[arrival.cause.clone(), Cause("unknown".into())], &[first.id], &[]).await?;
    same("outcome", loaded.outcomes.get(&arrival.cause), Some(&arrival.outcome))?;
    same("outcomes", loaded.outcomes.len(), 1)?;
    same("delivery", loaded.deliveries.get(&first.id), Some((&first, 1)))?;
    same("envelope", loaded.envelopes.get(&first.message), Some(&sample.envelope))?;

    let held = store.evidence_of(first.message).await?;
    let back: Vec<&NewEvidence> = held.iter().map(|row| &row.evidence).collect();
    same("evidence", &back, [&evidence, &large, &dispatch])?;
    same("stored at", held.iter().map(|r| r.stored_at).collect::<Vec<_>>(), [NOON; 3])?;
    same("one evidence", store.evidence(large.id).await?.map(|r| r.evidence), Some(&large))?;
    let after = held.first().map_or(0, |r| r.seq);
    same("evidence after", store.evidence_after(after, 9).await?.len(), 2)?;
    same("keys", store.delivery_keys(first.id).await?, [key])?;
    let ours: Vec<String> = feed(store.as_ref(), "m").await?.into_iter().map(|e| e.1).collect();
    same("feed", ours, ["one", "three"])?;
    let claimed = only(store.claim(EffectKind::Publish, NOON, 1_000, 10).await?)?;
    same("effect", (claimed.attempts, Some(&claimed.effect)), (0, arrival.effects.first()))?;
    store.close().await;

    let reopened = open(&url).await?;
    let all = DeliveryQuery { messages: vec![first.message], after: 0, limit: 10 };
    let rows = reopened.deliveries(&all).await?;
    same(
        "after reopening",
        rows.into_iter().map(|r| r.delivery).collect::<Vec<_>>(),
        &sample.deliveries,
    )
}

/// A known evidence keeps its bytes and gains deliveries; one batch may bring it twice.
pub(super) async fn known_evidence_keeps_its_bytes(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let sample = Sample::new("13002526500013", 3)?;
    let ids: Vec<_> = sample.deliveries.iter().map(|d| d.id).collect();
    let part = |range: std::ops::Range<usize>| ids.get(range).unwrap_or_default().to_vec();
    let first = sample.evidence(Event::SubmissionAcceptance, 100)?;
    let with =
        |deliveries, p7m: &[u8]| NewEvidence { deliveries, p7m: p7m.to_vec(), ..first.clone() };
    let bring = |cause: &str, evidence| {
        let mut change = change(cause);
        change.evidence = vec![evidence];
        change
    };
    let batch = [
        bring("a", with(part(0..1), b"as it was")),
        bring("b", with(part(0..2), b"something else")),
    ];
    written(store.as_ref(), &batch).await?;
    for cause in ["c", "d"] {
        let again = bring(cause, with(part(2..3), b"something else again"));
        written(store.as_ref(), &[again]).await?;
    }
    let row = only(store.evidence_of(first.message).await?)?;
    same("bytes", String::from_utf8_lossy(&row.evidence.p7m), "as it was")?;
    same("deliveries", row.evidence.deliveries, &ids)?;
    same("waiting for an anchor", store.unanchored(0, 10).await?.len(), 1)
}

fn upload(member: &str, cipher: u8) -> Upload {
    Upload {
        id: DocumentId(Uuid::new_v4()),
        member: member.to_owned(),
        name: "plan é.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 12,
        sha256: Digest([5; 32]),
        cipher_sha256: Digest([cipher; 32]),
        cipher_size: 40,
        wrapped_key: vec![1; 40],
        at: NOON,
        expires: Some(NOON.plus(DAY)),
    }
}

/// Clients, tokens, uploads, and who may see them.
pub(super) async fn access_and_uploads(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let member = Party {
        scheme: "iso6523:0009".to_owned(),
        id: "13002526500013".to_owned(),
        service: None,
        desk: None,
    };
    let mut client = ClientRow {
        client_id: "c1".to_owned(),
        secret_hash: "$argon2id$...".to_owned(),
        member: member.clone(),
        scopes: vec!["send".to_owned(), "receive".to_owned()],
        revoked_at: None,
    };
    store.put_client(&client).await?;
    same("client", store.client("c1").await?, Some(&client))?;
    same("unknown client", store.client("c2").await?, None::<()>)?;
    let token = TokenRow {
        sha256: sha256(b"token"),
        client_id: "c1".to_owned(),
        member,
        scopes: vec!["send".to_owned()],
        expires: NOON.plus(1_000),
    };
    store.put_token(&token).await?;
    same("token", store.token(&token.sha256, NOON).await?, Some(&token))?;
    same("token that ended", store.token(&token.sha256, NOON.plus(1_000)).await?, None::<()>)?;
    client.revoked_at = Some(NOON);
    store.put_client(&client).await?;
    same("clients", store.clients().await?, [&client])?;
    same("token of a revoked client", store.token(&token.sha256, NOON).await?, None::<()>)?;

    let mine = upload("m1", 1);
    store.put_upload(&mine).await?;
    store.put_upload(&Upload { name: "other".into(), ..mine.clone() }).await?;
    let ids = [mine.id, DocumentId(Uuid::new_v4())];
    same("upload", store.uploads("m1", &ids, NOON).await?, [&mine])?;
    same("of somebody else", store.uploads("m2", &ids, NOON).await?.len(), 0)?;
    same("expired", store.uploads("m1", &ids, NOON.plus(DAY)).await?.len(), 0)?;
    let mut used = change("uses");
    used.uses = vec![mine.id];
    written(store.as_ref(), &[used]).await?;
    let kept = Upload { expires: None, ..mine };
    same("used", store.uploads("m1", &ids, NOON.plus(2 * DAY)).await?, [kept])
}

/// What has expired goes; ciphertexts go when nothing refers to them any more.
pub(super) async fn sweeping_up(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let swept = |now, keep| {
        let store = store.clone();
        async move { Ok::<_, Wrong>(store.sweep(now, keep).await?.into_iter().collect::<HashSet<_>>()) }
    };
    let digest = |octet: u8| Digest([octet; 32]);
    let (unused, shared, used) = (upload("m", 1), upload("m", 2), upload("m", 3));
    for upload in [&unused, &shared, &used] {
        store.put_upload(upload).await?;
    }
    // Two deliveries hold the shared ciphertext as well; the message uses two uploads.
    let sample = Sample::new("13002526500013", 2)?;
    let key = |delivery, cipher| DeliveryKey {
        delivery,
        document: DocumentId(Uuid::new_v4()),
        cipher_sha256: digest(cipher),
        cipher_size: 1,
        wrapped_key: vec![1],
    };
    let ids: Vec<_> = sample.deliveries.iter().map(|d| d.id).collect();
    let mut arrival = sample.arrival("arrival");
    arrival.uses = vec![shared.id, used.id];
    arrival.keys =
        ids.iter().map(|id| key(*id, 2)).chain(ids.iter().map(|id| key(*id, 4))).collect();
    written(store.as_ref(), &[arrival.clone()]).await?;

    same("nothing yet", swept(NOON, DAY).await?, HashSet::<Digest>::new())?;
    same("unused upload", swept(NOON.plus(DAY), 2 * DAY).await?, HashSet::from([digest(1)]))?;
    // A crash after the sweep: the digest is offered once more, then never again.
    same("offered again", swept(NOON.plus(DAY), 2 * DAY).await?, HashSet::from([digest(1)]))?;
    same("forgotten", swept(NOON.plus(DAY), 2 * DAY).await?, HashSet::<Digest>::new())?;
    for (i, id) in ids.iter().enumerate() {
        let mut erase = change(&format!("erase {i}"));
        erase.erases = vec![*id];
        written(store.as_ref(), &[erase]).await?;
        same("keys after erasure", store.delivery_keys(*id).await?.len(), 0)?;
        let gone = swept(NOON.plus(DAY), 2 * DAY).await?;
        let expected: HashSet<Digest> =
            if i == 0 { HashSet::new() } else { [2, 3, 4].map(digest).into() };
        same("after an erasure", (i, gone == expected), (i, true))?;
    }
    same("uploads", store.uploads("m", &[shared.id, used.id], NOON).await?.len(), 0)?;
    let known = store.load(&[arrival.cause.clone()], &[], &[]).await?.outcomes.len();
    swept(NOON.plus(3 * DAY), DAY).await?;
    let later = store.load(&[arrival.cause], &[], &[]).await?.outcomes.len();
    same("causes", (known, later), (1, 0))?;
    // The evidence and the messages stay.
    let query = MessageQuery { limit: 10, ..MessageQuery::default() };
    same("messages", store.messages(&query).await?.len(), 1)
}
