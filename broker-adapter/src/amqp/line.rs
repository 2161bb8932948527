//! Frames of one batch on their way. The client writes to its connection in a thread of its own, and says
//! when a frame is written out. Who waits for that before the next frame wakes that thread for each, and
//! has each written by itself; so many are put in line first, and written out together.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use futures::FutureExt as _;
use lapin::PublisherConfirm;

use super::{Amqp, Broken, Lost};
use crate::Outcome;

/// Frames on their way at once; more brought nothing when measured, and hold memory.
pub(super) const WINDOW: usize = 512;
/// Octets of them that the client has taken and not written out, unless a single frame is larger.
const UNWRITTEN: usize = 256 << 10;

/// First those that are not written out yet, then those that are not confirmed.
#[derive(Default)]
pub(super) struct Line<'a> {
    writing: VecDeque<Writing<'a>>,
    written: VecDeque<(&'a mut Outcome, Sent)>,
    /// Octets that are not written out.
    octets: usize,
    pub(super) broken: Option<Broken>,
}

/// Ends when the frame is written out.
type Sending<'a> = Pin<Box<dyn Future<Output = Result<PublisherConfirm, Lost>> + Send + 'a>>;

/// Its outcome, how large it is, and when it was put in line.
struct Writing<'a> {
    outcome: &'a mut Outcome,
    sending: Sending<'a>,
    octets: usize,
    since: Instant,
}

/// When it was put in line, and what will be confirmed.
pub(super) type Sent = (Instant, PublisherConfirm);

impl<'a> Line<'a> {
    /// Whether something has to move up before a frame of so many octets may join.
    pub(super) fn is_full(&self, octets: usize) -> bool {
        let unwritten = !self.writing.is_empty() && self.octets + octets > UNWRITTEN;
        unwritten || self.writing.len() + self.written.len() >= WINDOW
    }

    /// The first poll puts it in line, in the order of the calls.
    pub(super) fn join(
        &mut self,
        outcome: &'a mut Outcome,
        mut sending: Sending<'a>,
        octets: usize,
    ) {
        let since = Instant::now();
        match sending.as_mut().now_or_never() {
            Some(Ok(confirm)) => self.written.push_back((outcome, (since, confirm))),
            Some(Err(lost)) => *outcome = lost.noted(&mut self.broken),
            None => {
                self.octets += octets;
                self.writing.push_back(Writing { outcome, sending, octets, since });
            }
        }
    }

    /// Waits for the first that is not written out; when all are, for the first confirmation.
    pub(super) async fn move_up(&mut self, amqp: &Amqp) {
        if let Some(first) = self.writing.pop_front() {
            self.octets -= first.octets;
            match first.sending.await {
                Ok(confirm) => self.written.push_back((first.outcome, (first.since, confirm))),
                Err(lost) => *first.outcome = lost.noted(&mut self.broken),
            }
        } else if let Some((outcome, sent)) = self.written.pop_front() {
            let confirmed = amqp.confirmed(sent).await;
            *outcome = confirmed.unwrap_or_else(|lost| lost.noted(&mut self.broken));
        }
    }

    /// Waits for all of them.
    pub(super) async fn end(mut self, amqp: &Amqp) -> Option<Broken> {
        while !(self.writing.is_empty() && self.written.is_empty()) {
            self.move_up(amqp).await;
        }
        self.broken
    }
}
