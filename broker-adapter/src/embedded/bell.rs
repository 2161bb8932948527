//! The bell: wakes subscribers when frames come, in this process and in others.
//!
//! Each process binds a datagram socket in a directory beside the file. Who publishes sends the
//! numbers of the lanes to every socket there; a lost datagram costs time, never a frame, since a
//! slow poll of the file goes on beside it. Where no socket can be bound (a path beyond the 107
//! bytes of `sun_path`), the poll is fast instead: 1 ms after something came, 20 ms when idle.

use std::collections::HashMap;
use std::os::unix::net::UnixDatagram as Ringer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::file::{Reader, newest};

/// How the poll paces itself: from `fast` after a change to `slow` when nothing happens.
#[derive(Clone, Copy, Debug)]
struct Pace {
    fast: Duration,
    slow: Duration,
}

const POLL_ALONE: Pace = Pace { fast: Duration::from_millis(1), slow: Duration::from_millis(20) };
const POLL_BESIDE: Pace =
    Pace { fast: Duration::from_millis(100), slow: Duration::from_millis(100) };

/// Lanes that one datagram names; more wake everybody.
const MAX_LANES: usize = 64;

/// One process's bell.
#[derive(Debug)]
pub(super) struct Bell {
    directory: PathBuf,
    own: Option<PathBuf>,
    ringer: Option<Ringer>,
    waiting: Arc<Waiting>,
    tasks: Vec<JoinHandle<()>>,
}

/// Who waits for which lane in this process.
#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<i64, watch::Sender<()>>>);

impl Waiting {
    fn wake(&self, lanes: impl Iterator<Item = i64>) {
        if let Ok(waiting) = self.0.lock() {
            for sender in lanes.filter_map(|lane| waiting.get(&lane)) {
                sender.send_replace(());
            }
        }
    }

    fn wake_all(&self) {
        if let Ok(waiting) = self.0.lock() {
            for sender in waiting.values() {
                sender.send_replace(());
            }
        }
    }
}

impl Bell {
    /// Hangs the bell of the file at `path`, and starts to listen.
    pub(super) fn hang(path: &Path, reader: Reader) -> Self {
        let mut directory = path.as_os_str().to_owned();
        directory.push("-bells");
        let directory = PathBuf::from(directory);
        let waiting = Arc::<Waiting>::default();
        let bound = bind(&directory);
        let pace = if bound.is_some() { POLL_BESIDE } else { POLL_ALONE };
        let mut tasks = vec![tokio::spawn(poll(reader, Arc::clone(&waiting), pace))];
        let own = bound.map(|(path, socket)| {
            tasks.push(tokio::spawn(listen(socket, Arc::clone(&waiting))));
            path
        });
        let ringer = Ringer::unbound().ok().filter(|r| r.set_nonblocking(true).is_ok());
        Self { directory, own, ringer, waiting, tasks }
    }

    /// Resolves whenever something may have come for `lane` since the last look.
    pub(super) fn watch(&self, lane: i64) -> watch::Receiver<()> {
        match self.waiting.0.lock() {
            Ok(mut waiting) => {
                waiting.entry(lane).or_insert_with(|| watch::Sender::new(())).subscribe()
            }
            Err(_) => watch::Sender::new(()).subscribe(),
        }
    }

    /// Wakes the subscribers of these lanes everywhere.
    pub(super) fn ring(&self, lanes: impl Iterator<Item = i64>) {
        let mut lanes: Vec<i64> = lanes.collect();
        lanes.sort_unstable();
        lanes.dedup();
        self.waiting.wake(lanes.iter().copied());
        let Some(ringer) = &self.ringer else { return };
        lanes.truncate(MAX_LANES + 1); // one more than fits means all
        let message: Vec<u8> = lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        let Ok(others) = std::fs::read_dir(&self.directory) else { return };
        for other in others.flatten().map(|entry| entry.path()) {
            if Some(&other) == self.own.as_ref() {
                continue;
            }
            let sent = ringer.send_to(&message, &other);
            if sent.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
                let _ = std::fs::remove_file(&other); // its process is dead
            }
        }
    }

    /// Stops listening and polling. Who waits is woken, and finds the file closed.
    pub(super) fn take_down(&self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(path) = &self.own {
            let _ = std::fs::remove_file(path);
        }
        self.waiting.wake_all();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.take_down();
    }
}

fn bind(directory: &Path) -> Option<(PathBuf, UnixDatagram)> {
    std::fs::create_dir_all(directory).ok()?;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let path = directory.join(name.get(..8)?);
    match UnixDatagram::bind(&path) {
        Ok(socket) => Some((path, socket)),
        Err(error) => {
            tracing::debug!(%error, "no bell for the embedded backbone, polling instead");
            None
        }
    }
}

async fn listen(socket: UnixDatagram, waiting: Arc<Waiting>) {
    let mut buffer = [0_u8; 8 * (MAX_LANES + 1)];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) if length > 8 * MAX_LANES => waiting.wake_all(),
            Ok(length) => {
                let (lanes, _) = buffer.get(..length).unwrap_or(&[]).as_chunks::<8>();
                waiting.wake(lanes.iter().map(|lane| i64::from_le_bytes(*lane)));
            }
            Err(_) => tokio::time::sleep(POLL_BESIDE.slow).await,
        }
    }
}

async fn poll(reader: Reader, waiting: Arc<Waiting>, pace: Pace) {
    let (mut seen, mut pause) = (0, pace.fast);
    loop {
        tokio::time::sleep(pause).await;
        match newest(&reader).await {
            Ok(now) if now != seen => {
                (seen, pause) = (now, pace.fast);
                waiting.wake_all();
            }
            Ok(_) => pause = (pause * 2).min(pace.slow),
            Err(crate::BackboneError::Closed) => return,
            Err(error) => tracing::warn!(%error, "cannot look into the embedded backbone"),
        }
    }
}
