//! What must be true on a calm day.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::tools::{
    PATIENCE, QUIET, ensure, frame, fresh_node, ids, numbered, options_of, publish_all, ready,
    said, silence, take, to,
};
use super::{Ground, Verdict};
use crate::{BackboneError, Frame, Lane, MAX_BATCH_BYTES, MAX_FRAME, Outcome};

/// All attributes, all bytes, an empty body, an empty key.
pub(super) async fn a_frame_arrives_as_it_was(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let attributes = [
        ("datacontenttype", "application/cbor"),
        ("plimessage", "0193-é-\u{1f4e8}"),
        ("plito", ""),
        ("source", "/nodes/dila"),
        ("time", "2026-11-23T08:15:30.123Z"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("type", "fr.pli.dispatch.v1"),
    ];
    let full = Frame {
        id: "0193e0a7-0000-7000-8000-000000000001".to_owned(),
        attributes: attributes.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
        key: "conversation-1".to_owned(),
        body: (0..=255_u8).cycle().take(70_000).collect(),
    };
    let bare =
        Frame { id: "é".to_owned(), attributes: vec![], key: String::new(), body: Bytes::new() };
    for sent in [full, bare] {
        publish_all(&backbone, vec![(to(&node, Lane::Message), sent.clone())]).await?;
        let mut got = take(&mut reader, 1, true).await?;
        let Some(mut got) = got.pop() else { return Err("nothing".to_owned()) };
        got.frame.attributes.sort();
        ensure!(got.frame == sent, "sent {sent:?}, got {:?}", got.frame);
        ensure!(!got.redelivered && got.returned.is_none(), "{got:?}");
    }
    Ok(())
}

pub(super) async fn provisioning_twice_changes_nothing(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    publish_all(&backbone, numbered(&to(&node, Lane::Evidence), 0..5, 1)).await?;
    backbone.provision(&node).await.map_err(said)?;
    let mut options = options_of(ground, &node)?;
    options.retention = Some(Duration::from_secs(3600));
    let other = crate::open(&ground.url, options).await.map_err(said)?;
    other.provision(&node).await.map_err(said)?;
    let mut reader = other.subscribe(&node, Lane::Evidence).await.map_err(said)?;
    let got = take(&mut reader, 5, true).await?;
    ensure!(ids(&got) == ["0", "1", "2", "3", "4"], "{:?}", ids(&got));
    Ok(())
}

pub(super) async fn a_thousand_frames_keep_the_order_of_their_key(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let lane = to(&node, Lane::Message);
    publish_all(&backbone, numbered(&lane, 0..1_000, 7)).await?;
    for start in (1_000..1_200).step_by(40) {
        publish_all(&backbone, numbered(&lane, start..start + 40, 7)).await?;
    }
    let got = take(&mut reader, 1_200, true).await?;
    let mut last: HashMap<&str, usize> = HashMap::new();
    for received in &got {
        let number: usize = received.frame.id.parse().map_err(|e| format!("{e}"))?;
        let before = last.insert(&received.frame.key, number);
        ensure!(before.is_none_or(|n| n < number), "{number} after {before:?}");
    }
    let distinct: HashSet<&str> = ids(&got).into_iter().collect();
    ensure!(distinct.len() == 1_200, "{} distinct frames", distinct.len());
    Ok(())
}

pub(super) async fn lanes_are_apart(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let batch = Lane::ALL.map(|lane| (to(&node, lane), frame(lane.as_str(), "k"))).to_vec();
    publish_all(&backbone, batch).await?;
    for lane in Lane::ALL {
        let mut reader = backbone.subscribe(&node, lane).await.map_err(said)?;
        let got = take(&mut reader, 1, true).await?;
        ensure!(ids(&got) == [lane.as_str()], "{lane} has {:?}", ids(&got));
        silence(&mut reader).await?;
    }
    Ok(())
}

/// One frame is handed out although more were asked for, while the reader waits already.
pub(super) async fn a_lone_frame_does_not_wait(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 0..1, 1)).await?;
    take(&mut reader, 1, true).await?; // joined by now
    let waiting = tokio::spawn(async move { (timeout(PATIENCE, reader.next(500)).await, reader) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let start = Instant::now();
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 1..2, 1)).await?;
    let (got, _reader) = waiting.await.map_err(|e| e.to_string())?;
    let got = got.map_err(|_| "nothing came".to_owned())?.map_err(said)?;
    ensure!(ids(&got) == ["1"], "{:?}", ids(&got));
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(2), "a lone frame took {took:?}");
    Ok(())
}

/// Reported, not silent; the rest of the batch goes its way; and when the node comes, it works.
pub(super) async fn unroutable_is_said_and_heals(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let nobody = fresh_node(ground)?;
    let batch = vec![
        (to(&node, Lane::Message), frame("a", "k")),
        (to(&nobody, Lane::Message), frame("b", "k")),
        (to(&node, Lane::Message), frame("c", "k")),
    ];
    let outcomes = backbone.publish(batch).await;
    let wanted = [Outcome::Confirmed, Outcome::Unroutable, Outcome::Confirmed];
    ensure!(outcomes == wanted, "{outcomes:?}");
    let options = options_of(ground, &nobody)?;
    let other = crate::open(&ground.url, options).await.map_err(said)?;
    other.provision(&nobody).await.map_err(said)?;
    publish_all(&backbone, vec![(to(&nobody, Lane::Message), frame("b", "k"))]).await?;
    let mut reader = other.subscribe(&nobody, Lane::Message).await.map_err(said)?;
    ensure!(ids(&take(&mut reader, 1, true).await?) == ["b"], "the frame did not come");
    Ok(())
}

pub(super) async fn too_large_and_invalid_are_refused(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let lane = to(&node, Lane::Content);
    let of_size = |size: usize| {
        let mut sized = frame("x", "k");
        sized.body = Bytes::new();
        sized.body = vec![7; size - sized.size()].into();
        (lane.clone(), sized)
    };
    let mut nameless = frame("", "k");
    let mut shouting = frame("s", "k");
    shouting.attributes.push(("Shout".to_owned(), String::new()));
    nameless.id.clear();
    let batch = vec![
        of_size(MAX_FRAME + 1),
        of_size(MAX_FRAME),
        (lane.clone(), nameless),
        (lane.clone(), shouting),
    ];
    let outcomes = backbone.publish(batch).await;
    ensure!(outcomes.len() == 4, "{outcomes:?}");
    ensure!(outcomes.first() == Some(&Outcome::TooLarge), "{outcomes:?}");
    ensure!(outcomes.get(1) == Some(&Outcome::Confirmed), "{outcomes:?}");
    let invalid = outcomes.iter().skip(2).all(|o| matches!(o, Outcome::Invalid(_)));
    ensure!(invalid, "{outcomes:?}");
    let mut reader = backbone.subscribe(&node, Lane::Content).await.map_err(said)?;
    let got = take(&mut reader, 1, true).await?;
    ensure!(got.iter().all(|r| r.frame.size() == MAX_FRAME), "not the largest frame");
    silence(&mut reader).await
}

pub(super) async fn an_unknown_lane_cannot_be_read(ground: &Ground) -> Verdict {
    let (backbone, _) = ready(ground).await?;
    let nobody = fresh_node(ground)?;
    match backbone.subscribe(&nobody, Lane::Message).await {
        Err(BackboneError::UnknownLane(lane)) if lane.node == nobody => Ok(()),
        // A broker that knows its nodes does not tell a stranger what is there.
        Err(BackboneError::Refused(_)) if ground.accounts.is_some() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Both get some, together they get all. Not the message lane, which AMQP gives to one at a time.
pub(super) async fn two_subscribers_share(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let (news, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let mut readers = Vec::new();
    for who in 0..2 {
        let mut reader = backbone.subscribe(&node, Lane::Evidence).await.map_err(said)?;
        let news = news.clone();
        readers.push(tokio::spawn(async move {
            while let Ok(batch) = reader.next(5).await {
                let names: Vec<String> = batch.iter().map(|r| r.frame.id.clone()).collect();
                let _ = reader.ack(batch.iter().map(|r| r.receipt).collect()).await;
                if news.send((who, names)).is_err() {
                    break;
                }
            }
        }));
    }
    let (mut sent, mut seen, mut busy) = (0, HashSet::new(), HashSet::new());
    let start = Instant::now();
    while busy.len() < 2 || seen.len() < sent {
        ensure!(start.elapsed() < PATIENCE, "{} of {sent} frames, {busy:?} busy", seen.len());
        if busy.len() < 2 {
            let batch = numbered(&to(&node, Lane::Evidence), sent..sent + 30, 30);
            publish_all(&backbone, batch).await?;
            sent += 30;
        }
        while let Ok(Some((who, names))) = timeout(QUIET / 10, arrivals.recv()).await {
            busy.insert(who);
            seen.extend(names);
        }
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Thirty-two frames of 512 KiB: each batch stays below the bound, and nothing is lost.
pub(super) async fn large_frames_in_bounded_batches(ground: &Ground) -> Verdict {
    const COUNT: usize = 32;
    let (backbone, node) = ready(ground).await?;
    let lane = to(&node, Lane::Content);
    let mut batch = numbered(&lane, 0..COUNT, 1);
    for (_, frame) in &mut batch {
        frame.body = vec![3; 512 * 1024].into();
    }
    publish_all(&backbone, batch).await?;
    let mut reader = backbone.subscribe(&node, Lane::Content).await.map_err(said)?;
    let mut count = 0;
    while count < COUNT {
        let got = timeout(PATIENCE, reader.next(500))
            .await
            .map_err(|_| format!("only {count} frames"))?
            .map_err(said)?;
        let size: usize = got.iter().map(|r| r.frame.size()).sum();
        ensure!(size <= MAX_BATCH_BYTES + MAX_FRAME, "a batch of {size} bytes");
        reader.ack(got.iter().map(|r| r.receipt).collect()).await.map_err(said)?;
        count += got.len();
    }
    silence(&mut reader).await
}

/// Not to the frame: a broker may count what is on its way to a reader, or not.
pub(super) async fn what_waits_is_counted(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let lane = to(&node, Lane::Content);
    let count = || async { backbone.waiting(&lane).await.map_err(said) };
    ensure!(count().await? == 0, "a fresh lane is not empty");
    publish_all(&backbone, numbered(&lane, 0..40, 3)).await?;
    let start = Instant::now();
    loop {
        let waiting = count().await?;
        ensure!(waiting <= 40 && start.elapsed() < PATIENCE, "{waiting} of 40 wait");
        if waiting == 40 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut reader = backbone.subscribe(&node, Lane::Content).await.map_err(said)?;
    let got = take(&mut reader, 40, true).await?;
    ensure!(got.len() == 40, "{} of 40 came", got.len());
    let start = Instant::now();
    while count().await? > 0 {
        ensure!(start.elapsed() < PATIENCE, "what was acknowledged still waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let nowhere = to(&fresh_node(ground)?, Lane::Content);
    let unknown = backbone.waiting(&nowhere).await;
    ensure!(matches!(unknown, Err(BackboneError::UnknownLane(_))), "{unknown:?}");
    Ok(())
}

pub(super) async fn the_probe_goes_round(ground: &Ground) -> Verdict {
    let (backbone, _) = ready(ground).await?;
    for _ in 0..3 {
        let took = backbone.probe().await.map_err(said)?;
        ensure!(took > Duration::ZERO, "no time at all");
    }
    Ok(())
}

/// After `close` nothing is confirmed, and nothing hangs.
pub(super) async fn closed_is_closed(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    backbone.close().await;
    let outcomes = backbone.publish(numbered(&to(&node, Lane::Message), 0..2, 1)).await;
    let unknown = outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_)));
    ensure!(outcomes.len() == 2 && unknown, "{outcomes:?}");
    ensure!(backbone.probe().await.is_err(), "the probe still goes round");
    ensure!(backbone.subscribe(&node, Lane::Message).await.is_err(), "still subscribes");
    Ok(())
}

/// Gone for the reader; on AMQP back at its sender, once.
pub(super) async fn set_aside_is_gone_or_returned(ground: &Ground) -> Verdict {
    let (sender, home) = ready(ground).await?;
    let (receiver, away) = ready(ground).await?;
    publish_all(&sender, numbered(&to(&away, Lane::Message), 0..3, 1)).await?;
    let mut reader = receiver.subscribe(&away, Lane::Message).await.map_err(said)?;
    let got = take(&mut reader, 3, false).await?;
    let receipts: Vec<_> = got.iter().map(|r| r.receipt).collect();
    let (bad, good) = receipts.split_at(2);
    reader.set_aside(bad.to_vec()).await.map_err(said)?;
    reader.ack(good.to_vec()).await.map_err(said)?;
    silence(&mut reader).await?;
    if ground.returns {
        let mut desk = sender.subscribe(&home, Lane::Evidence).await.map_err(said)?;
        let back = take(&mut desk, 2, false).await?;
        ensure!(ids(&back) == ["0", "1"], "{:?}", ids(&back));
        let marked = back.iter().all(|r| r.returned.as_deref() == Some("rejected"));
        ensure!(marked, "{back:?}");
        let receipts = back.iter().map(|r| r.receipt).collect();
        desk.set_aside(receipts).await.map_err(said)?; // no reply to an undeliverable reply
        silence(&mut desk).await?;
    }
    Ok(())
}

/// Whoever does not know whether a frame is there publishes it again, under the same id. It comes
/// once or more, each time the same, so that a receiver can tell.
pub(super) async fn a_repeated_frame_keeps_its_id(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    let again = || (to(&node, Lane::Message), frame("again", "k"));
    publish_all(&backbone, vec![again(), again()]).await?;
    publish_all(&backbone, vec![again(), (to(&node, Lane::Message), frame("end", "k"))]).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let mut copies = 0;
    loop {
        let got = take(&mut reader, 1, true).await?;
        match got.first() {
            Some(received) if received.frame.id == "end" => break,
            Some(received) if received.frame == again().1 => copies += 1,
            other => return Err(format!("{other:?}")),
        }
    }
    ensure!((1..=3).contains(&copies), "{copies} copies of three");
    silence(&mut reader).await
}
