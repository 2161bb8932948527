//! Thousands of schedules of the real node, each from one seed, in simulated time.
//!
//! ```text
//!   etat ---- national ---- cd-34 ---- departement ---- ville-34172
//!    |                        |                              |
//!  people                   people                        people
//! ```
//!
//! A network of two nodes (the left half) or three, of which the middle one relays. The engine, the
//! workers, the checks of what arrives, the seals, the anchors and the archives are the product's;
//! the backbones are in memory and in hostile hands. Every call to archive, content store or
//! backbone may fail before or after it did what it was asked, or take its time, and a kill may hit
//! before, during and after each; archives and backbones go away for days. In the end all faults
//! are healed, everything drains, and [`judge`] compares what people were told with what the nodes
//! hold.
//!
//! - [`schedule`]: one schedule. [`people`]: who sends and receives. [`judge`]: what must hold.
//! - [`site`], [`faulty`]: a node's place and its unreliable stores. [`wire`], [`malice`]: backbones.
//! - [`late`]: one story told by hand, of content that comes in the second week.
//! - [`life`]: time and kills. [`ground`]: keys and lists, once per process. [`dice`]: chance.
//!
//! `PLI_FATE_SCHEDULES` says how many schedules, `PLI_FATE_SEED` with which seed they begin.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    unreachable_pub,
    missing_debug_implementations
)]

mod dice;
mod faulty;
mod ground;
mod judge;
mod late;
mod life;
mod malice;
mod operators;
mod papers;
mod people;
mod schedule;
mod site;
mod tally;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use schedule::Schedule;

/// Schedules of an ordinary run.
const SCHEDULES: u64 = 2_000;

/// Seeds that have found something.
///
/// - 1227: a dispatch that could not be sent for a day was sent after its sender had been told, by a
///   B.3 RB09, that it was not;
/// - 1264: to `fsck`, B.1 outweighed a later RD03, and an RB22 of the next node counted for nothing;
/// - 7011: a dispatch was on its way to the broker in the very second in which its sender was told,
///   by a B.3 RB09, that it could not be sent;
/// - 10659: an archive was away for half a day, and the first letter after it was refused (RA51) for
///   the want of time-stamps that nobody had been asked for;
/// - 10503: a commit hung for two days; what it wrote was given up for too late to be sent while the
///   sender was told, by a B.3 RB22, that it may have been, and the recipient never got it.
const FOUND: [u64; 5] = [1227, 1264, 7011, 10_503, 10_659];

/// What a schedule came to.
struct Fate {
    broken: Vec<String>,
    diary: Vec<String>,
}

/// Schedules after which a long run says where it stands.
const NEWS: u64 = 1_000;

fn play(seed: u64) -> Fate {
    LazyLock::force(&ground::GROUND);
    let home = ground::GROUND.home();
    simulated().block_on(async {
        let schedule = Schedule::new(seed, home.path());
        schedule.play().await;
        let broken = judge::broken(&schedule);
        for site in &schedule.sites {
            ground::at_once(site.store.close());
        }
        Fate { broken, diary: schedule.times.diary() }
    })
}

/// Where no time passes but what is waited for.
fn simulated() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .unwrap()
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// Plays seeds on all cores; the first that breaks a promise is shown with its schedule.
fn campaign(seeds: impl Iterator<Item = u64> + Send) {
    let seeds = Mutex::new(seeds);
    let bad: Mutex<Vec<(u64, Fate)>> = Mutex::default();
    let played = AtomicU64::new(0);
    // Who makes hundreds of times as many calls as others does something in vain.
    let longest: Mutex<(Duration, u64)> = Mutex::default();
    let began = Instant::now();
    let most = number("PLI_FATE_SHOW", 1) as usize;
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else { return };
                    if bad.lock().unwrap().len() >= most {
                        return;
                    }
                    let start = Instant::now();
                    let fate = catch_unwind(AssertUnwindSafe(|| play(seed))).unwrap_or_else(|_| {
                        Fate { broken: vec!["it panicked".to_owned()], diary: Vec::new() }
                    });
                    let mut longest = longest.lock().unwrap();
                    *longest = (*longest).max((start.elapsed(), seed));
                    drop(longest);
                    let so_far = played.fetch_add(1, Ordering::SeqCst) + 1;
                    if so_far.is_multiple_of(NEWS) {
                        let seconds = began.elapsed().as_secs();
                        eprintln!("{so_far} schedules in {seconds} s, {}", tally::Summary);
                    }
                    if !fate.broken.is_empty() {
                        bad.lock().unwrap().push((seed, fate));
                    }
                }
            });
        }
    });
    let played = played.into_inner();
    let rate = played as f64 / began.elapsed().as_secs_f64();
    eprintln!("{played} schedules, {rate:.1} a second, {}", tally::Summary);
    let (longest, seed) = longest.into_inner().unwrap();
    eprintln!("the longest took {:.1} s: {seed}", longest.as_secs_f64());
    let bad = bad.into_inner().unwrap();
    for (seed, fate) in &bad {
        eprintln!("--- PLI_FATE_SEED={seed} PLI_FATE_SCHEDULES=1");
        fate.diary.iter().chain(&fate.broken).for_each(|line| eprintln!("{line}"));
    }
    assert!(
        bad.is_empty(),
        "broken: {:?}",
        bad.iter().map(|(s, f)| (s, &f.broken)).collect::<Vec<_>>()
    );
}

#[test]
fn no_schedule_breaks_a_promise() {
    let first = number("PLI_FATE_SEED", schedule::FIRST_EDITION);
    campaign(first..first + number("PLI_FATE_SCHEDULES", SCHEDULES));
}

#[test]
fn a_seed_plays_the_same_again() {
    for seed in schedule::FIRST_EDITION..schedule::FIRST_EDITION + number("PLI_FATE_TWICE", 3) {
        let (once, again) = (unnamed(&play(seed).diary), unnamed(&play(seed).diary));
        let other = once.iter().zip(&again).find(|(a, b)| a != b);
        assert!(other.is_none(), "{seed}: {other:?}");
        assert_eq!(once.len(), again.len(), "{seed}");
    }
}

/// A diary in which ids and digests are numbered as they appear: some are drawn by the product,
/// which asks no seed for them.
fn unnamed(diary: &[String]) -> Vec<String> {
    let mut names = std::collections::BTreeMap::new();
    let mut numbered = |word: &str| {
        let next = names.len();
        if word.len() < 32 {
            return word.to_owned();
        }
        format!("#{}", names.entry(word.to_owned()).or_insert(next))
    };
    let plain = |c: char| !c.is_ascii_hexdigit() && c != '-';
    let line = |line: &String| line.split_inclusive(plain).map(&mut numbered).collect::<String>();
    diary.iter().map(line).collect()
}

#[test]
fn what_was_found_stays_mended() {
    campaign(FOUND.into_iter());
}
