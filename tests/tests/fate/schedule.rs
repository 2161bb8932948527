//! One schedule: a network, letters, and everything that goes wrong, from one seed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use exchange_node::node::{Node, Parts};
use exchange_node::roads::{Road, Roads};
use schemas::envelope::Consignment;
use schemas::party::Party;
use schemas::time::{DAY, HOUR, MINUTE, Timestamp};
use signing::tsp::{AskError, TsaClient};

use crate::dice::Dice;
use crate::faulty::Faulty;
use crate::ground::{END, GROUND, T0};
use crate::life::{Life, Times, Wrong};
use crate::malice::Malice;
use crate::operators;
use crate::people::{self, Book, Letter};
use crate::site::{End, Odds, Process, Site};
use crate::tally::{Tally, add, count};
use crate::wire::{MARKER, Plug, Wire};

/// Quarters of a second without any sign of life after which nothing more will happen.
const PATIENCE: u32 = 48;

/// Schedules below this seed play as they did when they found something: other kinds of trouble,
/// known since, would move their dice. They are those of `FOUND` and nobody's else.
pub const FIRST_EDITION: u64 = 10_000;

/// A schedule under way, and afterwards.
pub struct Schedule {
    /// Its seed.
    pub seed: u64,
    /// Nodes.
    pub sites: Vec<Arc<Site>>,
    /// Backbones.
    pub wires: Vec<Arc<Wire>>,
    /// Letters.
    pub letters: Vec<Letter>,
    /// What people were told.
    pub book: Book,
    /// Time.
    pub times: Arc<Times>,
    /// Which kinds of trouble there are.
    pub trouble: Trouble,
}

/// Of each kind of trouble a schedule has some or none: together they would hide each other.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// Nodes: two, or three of which one relays.
    pub nodes: usize,
    /// At archives, content stores and in lives.
    pub site: Odds,
    /// At backbones.
    pub wire: Odds,
    /// By backbones.
    pub malice: Malice,
    /// Hours during which an archive is away, from the third second on.
    pub archive_away: i64,
    /// The same for a backbone.
    pub wire_away: i64,
    /// One node has two processes on one archive.
    pub replicas: bool,
    /// Operators hold, release and send again.
    pub operators: bool,
}

impl Trouble {
    /// Throws.
    fn of(dice: &Dice) -> Self {
        let some =
            |chance: u64, most: u64| if dice.chance(chance) { dice.between(5, most) } else { 0 };
        Self {
            nodes: if dice.chance(500) { 3 } else { 2 },
            site: Odds {
                failed: some(400, 120),
                persisted: some(400, 120),
                slow: some(500, 200),
                kill: if dice.chance(450) { 700 } else { 0 },
            },
            wire: Odds {
                failed: some(350, 250),
                persisted: some(350, 250),
                slow: some(300, 200),
                kill: 0,
            },
            malice: Malice {
                delay: some(400, 400),
                double: some(400, 400),
                replay: some(400, 400),
                spoil: some(300, 300),
                forge: some(300, 300),
                steal: if dice.chance(100) { dice.between(50, 300) } else { 0 },
            },
            archive_away: if dice.chance(120) { dice.between(1, 60) as i64 } else { 0 },
            wire_away: if dice.chance(120) { dice.between(1, 60) as i64 } else { 0 },
            replicas: false,
            operators: false,
        }
    }

    /// None at all, in a network of two nodes.
    pub fn none() -> Self {
        Self {
            nodes: 2,
            site: Odds::default(),
            wire: Odds::default(),
            malice: Malice::default(),
            archive_away: 0,
            wire_away: 0,
            replicas: false,
            operators: false,
        }
    }

    /// What was not known when the first seeds found something.
    fn more(mut self, seed: u64) -> Self {
        if seed >= FIRST_EDITION {
            let dice = Dice::of(seed, "more trouble");
            self.replicas = dice.chance(200);
            self.operators = dice.chance(200);
        }
        self
    }
}

impl Schedule {
    /// Lays it out in `home`; inside the simulated runtime.
    pub fn new(seed: u64, home: &Path) -> Self {
        let dice = Dice::of(seed, "schedule");
        let trouble = Trouble::of(&dice).more(seed);
        Self::of(seed, home, dice, trouble)
    }

    /// One with this trouble.
    pub fn of(seed: u64, home: &Path, dice: Dice, trouble: Trouble) -> Self {
        let times = Times::begin();
        let plans = &GROUND.topology.node[..trouble.nodes];
        let away = |hours: i64, it: bool| {
            if it && hours > 0 { (T0.plus(3_000), T0.plus(hours * HOUR)) } else { (END, END) }
        };
        let unlucky = dice.below(plans.len() as u64) as usize;
        let mut sites = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            let own = Dice::of(seed, plan.id.as_str());
            let mut site = Site::new(plan, &home.join(plan.id.as_str()), &times, own, trouble.site);
            site.away = away(trouble.archive_away, i == unlucky);
            site.first_edition = seed < FIRST_EDITION;
            if trouble.replicas && i == unlucky {
                site.processes.push(Process::default());
            }
            sites.push(Arc::new(site));
        }
        let mut wires = Vec::new();
        for (i, road) in GROUND.topology.backbone[..trouble.nodes - 1].iter().enumerate() {
            let own = Dice::of(seed, &road.name);
            let mut wire = Wire::new(&road.name, &times, own, trouble.wire, trouble.malice);
            wire.away = away(trouble.wire_away, i == 0);
            wires.push(Arc::new(wire));
        }
        let letters: Vec<Letter> =
            (0..dice.between(1, 4)).map(|i| letter(seed, i, &dice, &sites)).collect();
        let book = Book::default();
        add(Tally::Letter, letters.len() as u64);
        add(Tally::Away, u64::from(trouble.archive_away > 0) + u64::from(trouble.wire_away > 0));
        times.note(|| format!("{trouble:?}"));
        Self { seed, sites, wires, letters, book, times, trouble }
    }

    /// Plays it, heals everything, and lets it drain.
    pub async fn play(&self) {
        self.begin();
        let dice = Dice::of(self.seed, "time");
        let trouble_ends =
            T0.plus(dice.between(20, 200) as i64 * MINUTE + dice.below(2) as i64 * 3 * DAY);
        self.pass(trouble_ends, 60, None).await;
        self.heal();
        // Content that was stolen is looked for by each dispatch that waits for it, at last four times
        // an hour, until a week is over.
        self.pass(END.plus(-DAY), 14_400, Some(2 * DAY)).await;
    }

    /// Nodes start, and people begin to send and to read.
    pub fn begin(&self) {
        for site in &self.sites {
            let (site, wires) = (Arc::clone(site), self.wires.clone());
            let dice = Dice::of(self.seed, &format!("lives of {}", site.plan.id));
            let spare = Dice::of(self.seed, &format!("second lives of {}", site.plan.id));
            for (which, dice) in (0..site.processes.len()).zip([dice, spare]) {
                tokio::spawn(live(Arc::clone(&site), which, wires.clone(), dice));
            }
        }
        self.operators();
        for letter in &self.letters {
            let dice = Dice::of(self.seed, &format!("sender of {}", letter.number));
            let site = Arc::clone(&self.sites[letter.from]);
            tokio::spawn(people::send(site, letter.clone(), dice, self.book.clone()));
        }
        for site in &self.sites {
            let dice = Dice::of(self.seed, &format!("reader at {}", site.plan.id));
            tokio::spawn(people::receive(Arc::clone(site), dice, self.book.clone()));
        }
    }

    fn operators(&self) {
        let all = self.sites.iter().map(|s| s.plan.id.clone());
        for (i, site) in self.sites.iter().enumerate().filter(|_| self.trouble.operators) {
            let near = |k: &usize| k.abs_diff(i) == 1;
            let neighbours = all.clone().enumerate().filter(|(k, _)| near(k)).map(|(_, id)| id);
            let dice = Dice::of(self.seed, &format!("operators of {}", site.plan.id));
            tokio::spawn(operators::operate(Arc::clone(site), neighbours.collect(), dice));
        }
    }

    fn heal(&self) {
        self.times.note(|| "healed".to_owned());
        self.times.healed.store(true, Ordering::SeqCst);
        for site in &self.sites {
            for (_, life) in site.processes.iter().filter_map(Process::now) {
                life.defuse();
            }
        }
    }

    /// Lets time pass until `end`, or for `seconds` in which something happens: where nobody has
    /// anything to do, it leaps to the next instant at which somebody may have, unless that is
    /// farther away than `farthest`.
    pub async fn pass(&self, end: Timestamp, seconds: u32, farthest: Option<i64>) {
        let mut before = 0;
        let mut quiet = 0;
        for _ in 0..4 * seconds {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let activity = self.times.activity.load(Ordering::SeqCst);
            quiet = if activity == before { quiet + 1 } else { 0 };
            before = activity;
            let now = self.times.now();
            if now >= end {
                return;
            }
            let mut processes = self.sites.iter().flat_map(|s| &s.processes);
            let dead = processes.any(|process| process.now().is_none());
            if quiet < 8 || dead {
                continue;
            }
            let told = self.book.open().sent.len() == self.letters.len();
            // People who were told nothing yet act by themselves, unless what they need is away.
            let next = if told { self.next(now) } else { self.back(now) }.map(|at| at.min(end));
            let near = next.filter(|at| farthest.is_none_or(|most| at.since(now) <= most));
            let Some(next) = near else {
                // Whoever met a fault pauses for seconds.
                if told && quiet >= PATIENCE {
                    return;
                }
                continue;
            };
            quiet = 0;
            self.times.note(|| format!("leaps {} s", next.since(now) / 1_000));
            self.times.leap(next.since(now));
            self.wires.iter().for_each(|wire| wire.ring());
        }
    }

    /// When what is away now is back.
    fn back(&self, now: Timestamp) -> Option<Timestamp> {
        let sites = self.sites.iter().map(|s| s.away);
        let all = sites.chain(self.wires.iter().map(|w| w.away));
        all.filter(|(from, to)| !self.times.is_healed() && *from <= now && now < *to)
            .map(|(_, to)| to)
            .max()
    }

    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let sites = self.sites.iter().flat_map(|s| {
            let own = s.agenda.next(now.plus(s.skew)).map(|at| at.plus(-s.skew));
            [own, Some(s.away.1).filter(|at| *at > now && *at < END)]
        });
        let wires = self
            .wires
            .iter()
            .flat_map(|w| [w.agenda.next(now), Some(w.away.1).filter(|at| *at > now && *at < END)]);
        sites.chain(wires).flatten().min()
    }
}

fn letter(seed: u64, i: u64, dice: &Dice, sites: &[Arc<Site>]) -> Letter {
    let from = dice.below(sites.len() as u64) as usize;
    let siret = |site: &Arc<Site>| Party::siret(&site.plan.member[0].siret);
    let mut recipients: Vec<Party> =
        sites.iter().enumerate().filter(|(k, _)| *k != from).map(|(_, s)| siret(s)).collect();
    if dice.chance(700) {
        let one = dice.below(recipients.len() as u64) as usize;
        recipients = vec![recipients.swap_remove(one)];
    }
    if dice.chance(60) {
        recipients.push(siret(&sites[from]));
    }
    let length =
        if dice.chance(60) { dice.between(300_000, 1_200_000) } else { dice.between(1, 3_000) };
    let mut text = b"<?xml version=\"1.0\"?><a>".to_vec();
    text.extend_from_slice(MARKER);
    text.extend(std::iter::repeat_n(b' ', length as usize));
    text.extend_from_slice(format!("{seed}/{i}</a>").as_bytes());
    let consignment = if dice.chance(250) { Consignment::Consent } else { Consignment::Basic };
    Letter {
        number: seed.wrapping_mul(16) + i,
        from,
        recipients,
        text,
        consignment,
        resumable: seed >= FIRST_EDITION && Dice::of(seed + i, "resumable").chance(150),
        wait: dice.below(8_000),
    }
}

/// A node, from start to kill, and again.
async fn live(site: Arc<Site>, which: usize, wires: Vec<Arc<Wire>>, dice: Dice) {
    let process = &site.processes[which];
    for number in 1.. {
        let kill = !site.times.is_healed() && dice.chance(site.odds.kill);
        let fuse = if kill { dice.between(1, 250) } else { 0 };
        let number = dice.bits() ^ number;
        let life = Life::begin(number, fuse);
        let node = tokio::select! {
            biased;
            node = start(&site, which, &wires, &life) => match node {
                Ok(node) => Some(node),
                // The process ends, and its supervisor starts it again.
                Err(error) => {
                    site.times.note(|| format!("{} does not start: {error:#}", site.plan.id));
                    wires.iter().for_each(|wire| wire.forget(number));
                    tokio::time::sleep(Duration::from_millis(dice.between(10, 6_000))).await;
                    continue;
                }
            },
            () = life.ended() => None,
        };
        if let Some(node) = &node {
            process.set(Some((Arc::clone(node), Arc::clone(&life))));
        }
        life.ended().await;
        count(Tally::Kill);
        site.times.note(|| format!("{} is killed", site.plan.id));
        site.times.stir();
        process.set(None);
        wires.iter().for_each(|wire| wire.forget(number));
        if let Some(node) = node {
            // It does nothing any more, but its tasks shall end.
            tokio::spawn(async move { node.stop().await });
        }
        tokio::time::sleep(Duration::from_millis(dice.between(10, 6_000))).await;
        site.times.note(|| format!("{} starts again", site.plan.id));
    }
}

async fn start(
    site: &Arc<Site>,
    which: usize,
    wires: &[Arc<Wire>],
    life: &Arc<Life>,
) -> anyhow::Result<Arc<Node>> {
    let faulty = Faulty { site: Arc::clone(site), life: Arc::clone(life) };
    let roads = wires.iter().filter(|w| site.plan.backbones.contains(&w.name)).map(|wire| {
        let plug = Plug { wire: Arc::clone(wire), life: Arc::clone(life) };
        Road::over(Some(wire.name.clone()), Arc::new(plug))
    });
    let stamping = Arc::clone(site);
    let stamp = move |request: &[u8]| {
        let end = stamping.stamping();
        let away = || AskError::Http("fate".to_owned());
        if end == End::Failed {
            return Err(away());
        }
        let token = GROUND.tsa.respond(request, stamping.times.now());
        if end == End::Persisted { Err(away()) } else { Ok(token) }
    };
    let mut config = site.config.clone();
    if site.processes.len() > 1 {
        config.node.instance = Some(format!("{}-{}", site.plan.id, which + 1));
    }
    let parts = Parts {
        config,
        clock: Arc::new(Wrong { times: Arc::clone(&site.times), skew: site.skew }),
        store: Arc::new(faulty.clone()),
        content: Arc::new(faulty),
        roads: Roads::of(roads.collect()).unwrap(),
        tsa: TsaClient::beside(Arc::new(stamp)),
    };
    Node::assemble(parts).await
}
