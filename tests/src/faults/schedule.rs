//! What happens when. Drawn once, before anything runs, by a generator of our own that will draw
//! the same from the same seed for ever.

use std::fmt;
use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.bits() % if end == 0 { 1 } else { end }
    }

    /// One of them.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(at)
    }

    /// Between two times.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_millis()).unwrap_or(u64::MAX);
        low + Duration::from_millis(self.below(span + 1))
    }
}

/// A service that the nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// The broker of a backbone, by its place.
    Broker(usize),
    /// The database server.
    Database,
}

/// What may go wrong here.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Processes of the network: `etat.1`, `cd-34.2`, `tsa`.
    pub processes: Vec<String>,
    /// Services that can be killed.
    pub services: Vec<Shared>,
    /// Services behind a proxy.
    pub links: Vec<Shared>,
    /// Nodes whose lanes a hostile reader may join.
    pub lanes: Vec<String>,
}

/// What goes wrong. Each ends after a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a process; started again at the end.
    Kill(String),
    /// SIGSTOP of a process; SIGCONT at the end.
    Freeze(String),
    /// `kill -9` of a service; started again at the end, with its data.
    KillService(Shared),
    /// SIGSTOP of a service; SIGCONT at the end.
    FreezeService(Shared),
    /// What is asked is not handed on, and connections end: it failed.
    LoseRequests(Shared),
    /// What is asked is done, and connections end before the answer: it failed, and is done.
    LoseAnswers(Shared),
    /// Connections are closed and none is taken.
    Cut(Shared),
    /// Nothing passes and nobody is told.
    Silence(Shared),
    /// Everything takes longer.
    Delay(Shared, Duration),
    /// Somebody reads along, and writes.
    Hostile(String, u64),
}

/// The beginning or the end of a fault.
#[derive(Clone, Debug)]
pub struct Event {
    /// Since the beginning.
    pub at: Duration,
    /// Whether it begins.
    pub begins: bool,
    /// What.
    pub fault: Fault,
}

/// A whole campaign.
#[derive(Clone, Debug)]
pub struct Schedule(Vec<(Duration, Duration, Fault)>);

impl Schedule {
    /// Draws faults for `length`: a new one every one to five seconds, each for up to six, so that
    /// some overlap.
    #[must_use]
    pub fn draw(seed: u64, length: Duration, targets: &Targets) -> Self {
        let mut dice = Dice::new(seed);
        let mut all = Vec::new();
        let mut at = Duration::from_secs(1);
        while at < length {
            let lasts = dice.between(Duration::from_millis(200), Duration::from_secs(6));
            if let Some(fault) = fault(&mut dice, targets) {
                let busy = all.iter().any(|(_, end, other)| *end >= at && clash(other, &fault));
                if !busy {
                    all.push((at, at + lasts, fault));
                }
            }
            at += dice.between(Duration::from_secs(1), Duration::from_secs(5));
        }
        Self(all)
    }

    /// Beginnings and ends, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let of = |(begin, end, fault): &(Duration, Duration, Fault)| {
            let event = |at: &Duration, begins| Event { at: *at, begins, fault: fault.clone() };
            [event(begin, true), event(end, false)]
        };
        let mut all: Vec<Event> = self.0.iter().flat_map(of).collect();
        all.sort_by_key(|event| event.at);
        all
    }
}

/// Two faults of one thing would end each other.
fn clash(one: &Fault, other: &Fault) -> bool {
    use Fault as F;
    match (one, other) {
        (F::Kill(a) | F::Freeze(a), F::Kill(b) | F::Freeze(b)) => a == b,
        (
            F::KillService(a)
            | F::FreezeService(a)
            | F::Cut(a)
            | F::Silence(a)
            | F::Delay(a, _)
            | F::LoseRequests(a)
            | F::LoseAnswers(a),
            F::KillService(b)
            | F::FreezeService(b)
            | F::Cut(b)
            | F::Silence(b)
            | F::Delay(b, _)
            | F::LoseRequests(b)
            | F::LoseAnswers(b),
        ) => a == b,
        (F::Hostile(a, _), F::Hostile(b, _)) => a == b,
        _ => false,
    }
}

fn fault(dice: &mut Dice, targets: &Targets) -> Option<Fault> {
    let delay = Duration::from_millis(1 + dice.below(60));
    let seed = dice.bits();
    match dice.below(16) {
        0..=2 => dice.one(&targets.processes).cloned().map(Fault::Kill),
        3 => dice.one(&targets.processes).cloned().map(Fault::Freeze),
        4 => dice.one(&targets.services).copied().map(Fault::KillService),
        5 => dice.one(&targets.links).copied().map(Fault::Cut),
        6 => dice.one(&targets.links).copied().map(Fault::Silence),
        7 => dice.one(&targets.links).copied().map(|link| Fault::Delay(link, delay)),
        8 => dice.one(&targets.services).copied().map(Fault::FreezeService),
        9 | 10 => dice.one(&targets.links).copied().map(Fault::LoseRequests),
        11 | 12 => dice.one(&targets.links).copied().map(Fault::LoseAnswers),
        _ => dice.one(&targets.lanes).cloned().map(|node| Fault::Hostile(node, seed)),
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(n) => write!(f, "broker {n}"),
            Self::Database => f.write_str("database"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.begins { "+ " } else { "- " })?;
        match &self.fault {
            Fault::Kill(process) => write!(f, "kill -9 {process}"),
            Fault::Freeze(process) => write!(f, "SIGSTOP {process}"),
            Fault::KillService(service) => write!(f, "kill -9 {service}"),
            Fault::FreezeService(service) => write!(f, "SIGSTOP {service}"),
            Fault::LoseRequests(link) => write!(f, "requests to the {link} are lost"),
            Fault::LoseAnswers(link) => write!(f, "answers of the {link} are lost"),
            Fault::Cut(link) => write!(f, "no connection to the {link}"),
            Fault::Silence(link) => write!(f, "silence of the {link}"),
            Fault::Delay(link, by) => write!(f, "{} ms to the {link}", by.as_millis()),
            Fault::Hostile(node, _) => write!(f, "hostile reader of {node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_for_ever_and_another_one_something_else() {
        let targets = Targets {
            processes: ["etat.1", "cd-34.1", "tsa"].map(str::to_owned).to_vec(),
            services: vec![Shared::Broker(0), Shared::Database],
            links: vec![Shared::Broker(0), Shared::Database],
            lanes: ["etat", "cd-34"].map(str::to_owned).to_vec(),
        };
        let tell = |seed| {
            let schedule = Schedule::draw(seed, Duration::from_secs(60), &targets);
            let events = schedule.events();
            assert!(events.len() > 10 && events.len().is_multiple_of(2));
            events.iter().map(|e| format!("{} {e}", e.at.as_millis())).collect::<Vec<_>>()
        };
        assert_eq!(tell(7), tell(7));
        assert_ne!(tell(7), tell(8));
        assert_eq!(Dice::new(0).bits(), 0xe220_a839_7b1d_cdaf);
    }
}
