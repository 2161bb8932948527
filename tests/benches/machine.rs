//! What the benchmarks run on, and who spends the processor's time. Linux only: elsewhere the
//! figures are zero.

use std::collections::BTreeMap;
use std::fs;

/// Ticks of a second in `/proc/*/stat`: fixed in the interface of Linux.
const TICKS: f64 = 100.0;

/// Cores, processor, memory, kernel.
pub(crate) fn description() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores, {}, {} memory, Linux {}",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        kernel.trim()
    )
}

/// Groups of processes whose time is told apart.
const GROUPS: [(&str, &[&str]); 4] = [
    ("nodes", &["pli"]),
    ("database", &["postgres"]),
    ("broker", &["beam.smp", "java", "erl_child_setup"]),
    ("driver", &["bench-"]),
];

/// Seconds of processor time by group, since each process began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent(BTreeMap<&'static str, f64>);

/// What every process of the groups has spent so far. A process that ends takes its time along:
/// look while all of them live.
pub(crate) fn spent() -> Spent {
    let mut out = Spent::default();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in entries {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((name, seconds)) = parse(&stat) else { continue };
        let group = GROUPS.iter().find(|(_, names)| names.iter().any(|n| name.starts_with(n)));
        let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
        let group = if own { Some("driver") } else { group.map(|(group, _)| *group) };
        if let Some(group) = group {
            *out.0.entry(group).or_default() += seconds;
        }
    }
    out
}

impl Spent {
    /// Milliseconds per piece of work since `before`, by group.
    pub(crate) fn since(&self, before: &Self, pieces: usize) -> Vec<(String, f64)> {
        let each = |(group, now): (&&'static str, &f64)| {
            let spent = now - before.0.get(group).copied().unwrap_or(0.0);
            ((*group).to_owned(), 1_000.0 * spent.max(0.0) / pieces.max(1) as f64)
        };
        self.0.iter().map(each).collect()
    }
}

/// Name, user and system time: proc(5).
fn parse(stat: &str) -> Option<(&str, f64)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, fields) = rest.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((name, (user + system) / TICKS))
}

/// Highest resident memory of a process so far, in MiB.
pub(crate) fn peak_memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Lets the highest resident memory of this process begin again (proc(5), `clear_refs`).
pub(crate) fn forget_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}
