//! Hostile bytes, drawn from a seed: valid samples, changed, cut, grown and mixed.
//!
//! [`Rng`] is the one source of chance; [`bytes`] changes octets, and modules that know a format
//! (JSON, CBOR, DER) change its trees. [`run`] feeds a parser, and fails with what is needed to do
//! it again:
//!
//! - `PLI_FUZZ_ITERATIONS`: inputs for each target (2,000 when unset, which takes seconds);
//! - `PLI_FUZZ_SEED`: where they begin (0 when unset); input *i* comes from seed + *i* alone;
//! - `PLI_FUZZ_INPUT`: a file to be judged alone. Name the target with cargo's own filter.
//!
//! Time and memory are bounded for the whole of a target, not for one input: a machine may pause.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Inputs of each target where nobody asks for more.
const ITERATIONS: u64 = 2_000;
/// Largest input that mutation makes.
pub(crate) const MOST: usize = 1 << 20;
/// Peak of resident memory of the whole test process, in KiB.
const MOST_MEMORY: u64 = 2 << 20;

/// SplitMix64: small, and the same on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.once_in(4) { length - start } else { (length - start).min(32) };
        start..start + self.below(longest + 1)
    }
}

/// One of `samples` after one to eight changes; `words` are octets that mean something here.
pub(crate) fn bytes(rng: &mut Rng, samples: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut out = rng.pick(samples).clone();
    for _ in 0..=rng.below(8) {
        change(rng, &mut out, samples, words);
    }
    out.truncate(MOST);
    out
}

fn change(rng: &mut Rng, out: &mut Vec<u8>, samples: &[Vec<u8>], words: &[&[u8]]) {
    if out.is_empty() {
        out.push(rng.next() as u8);
    }
    let at = rng.below(out.len());
    let range = rng.range(out.len());
    match rng.below(11) {
        0 => out[at] ^= 1 << rng.below(8),
        1 => out[at] = *rng.pick(&[0, 1, 0x1f, 0x30, 0x7f, 0x80, 0x84, 0x9f, 0xbf, 0xff]),
        2 => out.truncate(at),
        3 => drop(out.drain(range)),
        4 => {
            let part = out[range].to_vec();
            let times = if rng.once_in(16) { rng.below(2_000) } else { 1 };
            if part.len() * times < MOST {
                out.splice(at..at, part.repeat(times));
            }
        }
        5 => drop(out.splice(range, (0..rng.below(9)).map(|_| 0).collect::<Vec<_>>())),
        // A piece of another sample, or of the same one, elsewhere.
        6 => {
            let other = rng.pick(samples);
            let piece = other[rng.range(other.len())].to_vec();
            out.splice(range, piece);
        }
        // Where a length may stand, a very great one.
        7 => {
            let width = *rng.pick(&[1, 2, 4, 8]);
            let value = rng.pick(&[u64::MAX, 1 << 31, (1 << 32) - 1, 0x7fff, 0x10_0000, 0x80]);
            let digits = if rng.once_in(2) { value.to_be_bytes() } else { value.to_le_bytes() };
            for (to, from) in out[at..].iter_mut().zip(&digits[..width]) {
                *to = *from;
            }
        }
        8 => out[at] = out[at].wrapping_add(*rng.pick(&[1, 0xff, 0x10])),
        9 => drop(out.splice(at..at, (0..rng.below(17)).map(|i| i as u8 ^ 0x5a))),
        _ if words.is_empty() => out[at] = rng.next() as u8,
        _ => {
            let word = rng.pick(words).to_vec();
            let times = if rng.once_in(16) { rng.below(20_000) } else { 1 };
            let replaced = if rng.once_in(2) { range } else { at..at };
            if word.len() * times < MOST {
                out.splice(replaced, word.repeat(times));
            }
        }
    }
}

/// Makes inputs and has `judge` parse them: no panic, no endless run, no memory without bound.
/// `weight` is how many times slower than a plain parser it is.
pub(crate) fn run(
    target: &str,
    weight: u64,
    make: impl Fn(&mut Rng) -> Vec<u8>,
    judge: impl Fn(&[u8]),
) {
    if let Some(path) = std::env::var_os("PLI_FUZZ_INPUT") {
        return judge(&std::fs::read(path).unwrap());
    }
    let seed = number("PLI_FUZZ_SEED", 0);
    let iterations = number("PLI_FUZZ_ITERATIONS", ITERATIONS).div_ceil(weight);
    let current = Mutex::new((seed, Vec::new()));
    let (done, waiting) = mpsc::channel::<()>();
    let (last, begin) = (&current, Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(move || watch(target, &waiting, iterations * weight, last));
        for seed in (0..iterations).map(|i| seed.wrapping_add(i)) {
            let input = make(&mut Rng::new(seed));
            *last.lock().unwrap() = (seed, input.clone());
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| judge(&input))) {
                report(target, "failed", seed, &input);
                drop(done);
                resume_unwind(panic);
            }
        }
        drop(done);
    });
    eprintln!("fuzz {target}: {iterations} inputs from seed {seed} in {:?}", begin.elapsed());
    if let Some(peak) = peak_memory() {
        assert!(peak < MOST_MEMORY, "{target}: {peak} KiB were resident at once");
    }
}

/// Ends the process when the budget of a target is spent: an endless loop cannot be unwound.
fn watch(
    target: &str,
    done: &mpsc::Receiver<()>,
    iterations: u64,
    current: &Mutex<(u64, Vec<u8>)>,
) {
    let budget = Duration::from_secs(240) + Duration::from_millis(20) * iterations as u32;
    if done.recv_timeout(budget) == Err(RecvTimeoutError::Timeout) {
        let (seed, input) = current.lock().unwrap().clone();
        report(target, "has spent its time", seed, &input);
        std::process::abort();
    }
}

fn report(target: &str, what: &str, seed: u64, input: &[u8]) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}-{seed}"));
    let kept = std::fs::write(&file, input);
    let head = hex::encode(&input[..input.len().min(200)]);
    eprintln!("fuzz {target} {what}: PLI_FUZZ_SEED={seed} PLI_FUZZ_ITERATIONS=1");
    eprintln!("  or PLI_FUZZ_INPUT={} ({kept:?}, {} bytes: {head})", file.display(), input.len());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// KiB, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
