//! What a hostile backbone does to a frame: it keeps it back, doubles it, plays others again, cuts
//! it, flips its bits, sends it astray, and makes frames of its own from what it has seen.

use std::sync::Arc;

use broker_adapter::Frame;
use bytes::Bytes;
use schemas::bytes::Octets;
use schemas::frame::{self, DispatchFrame, EvidenceFrame};

use crate::dice::Dice;
use crate::ground::GROUND;
use crate::life::Times;
use crate::tally::{Tally, count};
use crate::wire::Place;

/// Chances in a thousand, per frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Malice {
    /// It comes later than what is sent after it.
    pub delay: u64,
    /// It comes more than once.
    pub double: u64,
    /// One of before comes again, at its place or at another.
    pub replay: u64,
    /// A copy of it is cut, or has other bits.
    pub spoil: u64,
    /// A frame is made of parts of several, or with a seal that nobody trusts.
    pub forge: u64,
    /// It is taken away: the only act that cannot be made good.
    pub steal: u64,
}

/// Milliseconds, where, what.
type Plot = Vec<(i64, Place, Frame)>;

impl Malice {
    /// What is put on the lanes for a frame.
    pub fn plot(
        &self,
        dice: &Dice,
        place: &Place,
        frame: &Frame,
        seen: &[(Place, Frame)],
        times: &Arc<Times>,
    ) -> Plot {
        let mut plot = Plot::new();
        let note = |what: &str, delay: i64| {
            times.note(|| format!("malice: {what} {} in {delay} ms", frame.id));
        };
        let mut own = 0;
        if dice.chance(self.delay) {
            own = *dice.one(&[20, 900, 5_000, 60_000, 3 * 3_600_000]);
            count(Tally::Delayed);
            note("delays", own);
        }
        if dice.chance(self.steal) {
            count(Tally::Stolen);
            note("steals", 0);
        } else {
            plot.push((own, place.clone(), frame.clone()));
        }
        let later = || *dice.one(&[0, 3, 700, 20_000, 7_200_000]);
        if dice.chance(self.double) {
            for _ in 0..dice.between(1, 3) {
                let delay = later();
                count(Tally::Doubled);
                note("doubles", delay);
                plot.push((delay, place.clone(), frame.clone()));
            }
        }
        if dice.chance(self.replay) {
            let (was, old) = dice.one(seen).clone();
            let (delay, place) = (later(), if dice.chance(500) { was } else { place.clone() });
            count(Tally::Replayed);
            note("replays something beside", delay);
            plot.push((delay, place, old));
        }
        if dice.chance(self.spoil) {
            let delay = later();
            count(Tally::Spoiled);
            note("spoils a copy of", delay);
            plot.push((delay, place.clone(), spoiled(dice, frame)));
        }
        if dice.chance(self.forge) {
            let delay = later();
            count(Tally::Forged);
            note("forges something like", delay);
            plot.push((delay, place.clone(), forged(dice, frame, seen)));
        }
        if dice.chance(500) {
            plot.reverse();
        }
        plot
    }
}

fn spoiled(dice: &Dice, frame: &Frame) -> Frame {
    let mut body = frame.body.to_vec();
    let mut frame = frame.clone();
    match dice.below(5) {
        0 => body.truncate(dice.below(body.len() as u64) as usize),
        1 => body.extend_from_slice(b"more"),
        2 => {
            let kinds = [frame::DISPATCH, frame::EVIDENCE, frame::STATUS, frame::CONTENT, "x"];
            for (name, value) in &mut frame.attributes {
                if name == "type" {
                    *value = (*dice.one(&kinds)).to_owned();
                }
            }
        }
        3 => flip(dice, &mut body),
        // What no seal covers is a small part of a frame: aimed at.
        _ => match frame::decode::<DispatchFrame>(&body) {
            Ok(mut dispatch) if !dispatch.inline.is_empty() => {
                dispatch.inline.iter_mut().for_each(|cipher| flip(dice, &mut cipher.0));
                body = frame::encode(&dispatch);
            }
            _ => flip(dice, &mut body),
        },
    }
    Frame { body: Bytes::from(body), ..frame }
}

fn flip(dice: &Dice, body: &mut [u8]) {
    for _ in 0..dice.between(1, 3) {
        let at = dice.below(body.len() as u64) as usize;
        body[at] ^= 1 << dice.below(8);
    }
}

fn forged(dice: &Dice, frame: &Frame, seen: &[(Place, Frame)]) -> Frame {
    let other = &dice.one(seen).1;
    let body = if let Ok(mine) = frame::decode::<EvidenceFrame>(&frame.body) {
        let theirs = frame::decode::<EvidenceFrame>(&other.body).map(|f| f.evidence);
        let evidence = match dice.below(3) {
            0 => mine.evidence.iter().chain(&theirs.unwrap_or_default()).cloned().collect(),
            1 => mine.evidence.iter().rev().cloned().collect(),
            _ => mine.evidence.iter().map(|p7m| lie(dice, p7m)).collect(),
        };
        frame::encode(&EvidenceFrame { evidence })
    } else if let Ok(mine) = frame::decode::<DispatchFrame>(&frame.body) {
        let theirs = frame::decode::<DispatchFrame>(&other.body).unwrap_or_else(|_| mine.clone());
        let evidence = frame::decode::<EvidenceFrame>(&other.body).map(|f| f.evidence);
        frame::encode(&match dice.below(4) {
            0 => DispatchFrame { inline: theirs.inline, ..mine },
            1 => DispatchFrame { relays: evidence.unwrap_or_default(), ..mine },
            2 => DispatchFrame { relays: Vec::new(), inline: Vec::new(), ..mine },
            _ => DispatchFrame { dispatch: lie(dice, &mine.dispatch), ..mine },
        })
    } else {
        other.body.to_vec()
    };
    Frame { body: Bytes::from(body), ..frame.clone() }
}

/// The same words or others, under a seal with the right names and a key of nobody.
fn lie(dice: &Dice, p7m: &Octets) -> Octets {
    let Ok(opened) = signing::seal::open(&p7m.0) else { return p7m.clone() };
    let mut text = String::from_utf8_lossy(&opened.content).into_owned();
    for (truth, lie) in [
        ("Event/RelayAcceptance", "Event/RelayRejection"),
        ("Event/ContentConsignment", "Event/ContentHandover"),
        ("\"version\":1", "\"version\":1 "),
    ] {
        if dice.chance(700) {
            text = text.replace(truth, lie);
        }
    }
    match GROUND.stranger.seal(text.as_bytes(), opened.signing_time, None) {
        Ok(sealed) => Octets(sealed.der),
        Err(_) => p7m.clone(),
    }
}
