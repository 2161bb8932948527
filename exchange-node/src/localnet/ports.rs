//! Free loopback ports in 20000..=31999: below the ephemeral range, so that no outgoing connection
//! squats on one while its process is down.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::secret;

const RANGE: RangeInclusive<u16> = 20_000..=31_999;

/// No port is free.
#[derive(Debug, thiserror::Error)]
pub enum NoPort {
    /// All of them are taken.
    #[error("no free port on 127.0.0.1 between {} and {}", RANGE.start(), RANGE.end())]
    Taken,
    /// See [`secret::NoRandomness`].
    #[error(transparent)]
    Randomness(#[from] secret::NoRandomness),
}

/// Picks `count` different ports that nobody listens on. They start at a random place, so that two
/// networks that come up at once hardly ever meet.
///
/// # Errors
/// [`NoPort`].
pub fn pick(count: usize) -> Result<Vec<u16>, NoPort> {
    let size = RANGE.end() - RANGE.start() + 1;
    let start = u16::from_be_bytes(secret::random::<2>()?) % size;
    // Held until all are found: none is picked twice.
    let mut held = Vec::with_capacity(count);
    for step in 0..size {
        if held.len() == count {
            break;
        }
        let port = RANGE.start() + (start + step) % size;
        if !reserve(port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        return Err(NoPort::Taken);
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

/// Marks a port as picked for a minute, by when its process listens or has given up. Between the
/// choice of a port and its use, another network that comes up would find it free.
fn reserve(port: u16) -> bool {
    const MINUTE: Duration = Duration::from_secs(60);
    let marks = std::env::temp_dir().join("pli-ports");
    let _ = fs::create_dir_all(&marks);
    let mark = marks.join(port.to_string());
    for _ in 0..2 {
        match OpenOptions::new().write(true).create_new(true).open(&mark) {
            Ok(_) => return true,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let age = fs::metadata(&mark).and_then(|m| m.modified()).map(|at| at.elapsed());
                if matches!(age, Ok(Ok(age)) if age < MINUTE) {
                    return false;
                }
                let _ = fs::remove_file(&mark);
            }
            // It is a courtesy: where marks cannot be written, networks hardly ever meet either.
            Err(_) => return true,
        }
    }
    false
}

/// Whether nobody listens on this port.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picked_ports_are_different_free_and_in_range() {
        let ports = pick(5).unwrap();
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), 5);
        assert!(ports.iter().all(|p| RANGE.contains(p) && is_free(*p)));
    }

    #[test]
    fn networks_that_come_up_at_once_get_different_ports() {
        let picks: Vec<_> = (0..8).map(|_| std::thread::spawn(|| pick(40).unwrap())).collect();
        let all: Vec<u16> = picks.into_iter().flat_map(|p| p.join().unwrap()).collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(held.local_addr().unwrap().port()));
    }
}
