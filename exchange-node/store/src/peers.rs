//! What is said about sending to a node: held and throttled by an operator, paused by the circuit
//! breaker. It lies in the database, so that all replicas of a node obey, and at once.

use schemas::ids::NodeId;
use schemas::time::{MINUTE, SECOND, Timestamp};

use crate::StoreError;
use crate::db::{Args, Db, Tx};
use crate::rows::PeerRow;
use crate::sql;
use crate::text::{parsed, time};

/// What was not used of a rate may be used up to this much later, in microseconds: longer than a
/// publisher sleeps.
const CATCH_UP: i64 = 600_000;
/// How long a paused peer rests before the first probe, and at most between two.
const REST: i64 = 5 * SECOND;
const LONGEST_REST: i64 = MINUTE;
/// Part of the time it has failed so far that it rests again.
const BACKOFF: i64 = 8;

#[derive(Debug, sqlx::FromRow)]
pub(crate) struct PeerRaw {
    pub(crate) peer: String,
    held_since: Option<i64>,
    reason: String,
    rate: Option<i64>,
    next_at: i64,
    failing_since: Option<i64>,
    paused_until: Option<i64>,
    error: Option<String>,
}

/// What a claim may take for a peer, and what to write down about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) most: i64,
    start: i64,
    interval: i64,
    /// One attempt decides whether the peer is still paused.
    pub(crate) probe: bool,
    /// After a probe, when the next may go out.
    rest: i64,
}

impl PeerRaw {
    /// Rate control by the time at which the next one would be due (ITU-T I.371, GCRA).
    pub(crate) fn allowance(&self, now: Timestamp, limit: i64) -> Allowance {
        let micros = now.millis().saturating_mul(1_000);
        let rate = self.rate.unwrap_or(i64::MAX).max(1);
        let interval = (1_000_000_000 / rate).max(if self.rate.is_some() { 1 } else { 0 });
        let start = self.next_at.max(micros.saturating_sub(CATCH_UP));
        let free = match (self.rate, start > micros) {
            (None, _) => limit,
            (Some(_), true) => 0,
            (Some(_), false) => ((micros - start) / interval + 1).min(limit),
        };
        let paused = self.paused_until.is_some_and(|until| until > now.millis());
        let probe = self.paused_until.is_some();
        let most = match (self.held_since.is_some() || paused, probe) {
            (true, _) => 0,
            (false, true) => free.min(1),
            (false, false) => free,
        };
        let failed = self.failing_since.map_or(0, |since| now.millis().saturating_sub(since));
        let rest = (failed / BACKOFF).clamp(REST, LONGEST_REST);
        Allowance { most, start, interval, probe, rest }
    }
}

impl Allowance {
    /// Writes down that `taken` were claimed.
    pub(crate) async fn write(
        self,
        tx: &mut Tx,
        peer: &str,
        taken: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let next = self.start.saturating_add(self.interval.saturating_mul(taken));
        let rest = self.probe.then(|| now.plus(self.rest).millis());
        let args = Args::new().text(peer).int(next).int(rest);
        tx.execute(sql::PEER_CLAIMED, args).await.map(drop)
    }
}

/// Everything that is said.
pub(crate) async fn all(db: &Db) -> Result<Vec<PeerRow>, StoreError> {
    let rows: Vec<PeerRaw> = db.fetch(sql::PEERS_ALL, Args::new()).await?;
    rows.into_iter()
        .map(|row| {
            Ok(PeerRow {
                peer: parsed("a peer", &row.peer)?,
                held_since: row.held_since.map(time),
                reason: row.reason,
                rate: row.rate,
                failing_since: row.failing_since.map(time),
                paused_until: row.paused_until.map(time),
                error: row.error,
            })
        })
        .collect()
}

/// What an operator says replaces what one said before.
pub(crate) async fn rule(db: &Db, row: &PeerRow) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let args = Args::new()
        .text(row.peer.as_str())
        .int(row.held_since.map(Timestamp::millis))
        .text(row.reason.as_str())
        .int(row.rate);
    tx.execute(sql::PEER_RULE, args).await?;
    tx.execute(sql::PEERS_SWEEP, Args::new()).await?;
    tx.commit().await
}

/// Publications to a peer fail: only probes from now on.
pub(crate) async fn pause(
    db: &Db,
    peer: &NodeId,
    now: Timestamp,
    error: &str,
) -> Result<(), StoreError> {
    let args =
        Args::new().text(peer.as_str()).int(now.millis()).int(now.plus(REST).millis()).text(error);
    db.write(sql::PEER_PAUSE, args).await.map(drop)
}

/// A probe went through.
pub(crate) async fn resume(db: &Db, peer: &NodeId) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    tx.execute(sql::PEER_RESUME, Args::new().text(peer.as_str())).await?;
    tx.execute(sql::PEERS_SWEEP, Args::new()).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn peer(rate: Option<i64>) -> PeerRaw {
        PeerRaw {
            peer: "cd-34".to_owned(),
            held_since: None,
            reason: String::new(),
            rate,
            next_at: 0,
            failing_since: None,
            paused_until: None,
            error: None,
        }
    }

    /// Twenty a second, asked every 50 ms for a minute: 1200 and what idle time had saved.
    #[test]
    fn a_rate_holds_over_a_minute() {
        let mut one = peer(Some(20_000));
        let (mut taken, mut at) = (0, NOW);
        while at.since(NOW) < 60_000 {
            let allowance = one.allowance(at, 256);
            taken += allowance.most;
            one.next_at = allowance.start + allowance.interval * allowance.most;
            at = at.plus(50);
        }
        assert!((1_200..=1_215).contains(&taken), "{taken}");
    }

    #[test]
    fn less_than_one_a_second_and_none_at_all() {
        let slow = peer(Some(100));
        assert_eq!(slow.allowance(NOW, 256).most, 1);
        let after = PeerRaw { next_at: NOW.millis() * 1_000 + 10_000_000, ..peer(Some(100)) };
        assert_eq!(after.allowance(NOW.plus(9_999), 256).most, 0);
        assert_eq!(after.allowance(NOW.plus(10_000), 256).most, 1);
        let held = PeerRaw { held_since: Some(0), ..peer(None) };
        assert_eq!(held.allowance(NOW, 256).most, 0);
    }

    #[test]
    fn a_paused_peer_gets_one_probe_when_its_rest_is_over() {
        let paused = PeerRaw { paused_until: Some(NOW.millis()), ..peer(None) };
        assert_eq!(paused.allowance(NOW.plus(-1), 256).most, 0);
        let probe = paused.allowance(NOW, 256);
        assert_eq!((probe.most, probe.probe), (1, true));
        assert_eq!(probe.rest, REST);
        assert_eq!(peer(None).allowance(NOW, 256).most, 256);
        let long = PeerRaw { failing_since: Some(0), ..paused };
        assert_eq!(long.allowance(NOW, 256).rest, LONGEST_REST, "two days later");
    }
}
