//! Which files make a node, where they lie in a backup, and what a backup must not show.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// A file of a node that is not its database, its content or its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is now.
    pub from: PathBuf,
    /// Where it goes, below the backup and below the restored node.
    pub path: String,
    /// A private key.
    pub secret: bool,
}

/// A node's configuration as it stands in a backup.
#[derive(Clone, Debug)]
pub struct Portable {
    /// With paths below the backup, and no passwords.
    pub config: Config,
    /// The files that it names.
    pub pieces: Vec<Piece>,
    /// Where passwords were left out.
    pub withheld: Vec<String>,
}

/// Makes a configuration that works anywhere, from one whose paths are absolute.
///
/// # Errors
/// A directory that it names cannot be read.
pub fn portable(config: &Config) -> std::io::Result<Portable> {
    let mut pieces = Pieces::default();
    let mut withheld = Vec::new();
    let mut config = config.clone();
    let keys = &mut config.keys;
    pieces.file(&mut keys.seal_key, "keys/seal.key", true);
    pieces.file(&mut keys.seal_chain, "keys/seal.pem", false);
    pieces.file(&mut keys.encryption_key, "keys/encryption.key", true);
    pieces.file(&mut keys.encryption_certificate, "keys/encryption.pem", false);
    pieces.file(&mut keys.storage_key, "keys/storage.key", true);
    pieces.directory(&mut keys.crls, "crls", "crl")?;
    pieces.directory(&mut config.directory.dir, "directory", "p7m")?;
    for (kind, paths) in
        [("anchor", &mut config.trust.anchors), ("tsa", &mut config.trust.tsa_anchors)]
    {
        for (i, path) in paths.iter_mut().enumerate() {
            pieces.file(path, &format!("trust/{kind}-{i}.pem"), false);
        }
    }
    for (i, road) in config.backbone.all_mut().enumerate() {
        let files = [
            (&mut road.ca_file, "ca.pem", false),
            (&mut road.certificate, "pem", false),
            (&mut road.key, "key", true),
        ];
        for (path, ending, secret) in files {
            if let Some(path) = path {
                pieces.file(path, &format!("keys/backbone-{i}.{ending}"), secret);
            }
        }
        if hide_password(&mut road.url) {
            let name = road.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
            withheld.push(format!("backbone{name}"));
        }
    }
    if config.store.url.starts_with("postgres") {
        if hide_password(&mut config.store.url) {
            withheld.push("store".to_owned());
        }
    } else {
        "sqlite://node.db".clone_into(&mut config.store.url);
    }
    config.content.dir = PathBuf::from("content");
    Ok(Portable { config, pieces: pieces.0, withheld })
}

#[derive(Debug, Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn file(&mut self, now: &mut PathBuf, path: &str, secret: bool) {
        let from = std::mem::replace(now, PathBuf::from(path));
        self.0.push(Piece { from, path: path.to_owned(), secret });
    }

    /// The files of a directory with this ending.
    fn directory(&mut self, now: &mut PathBuf, path: &str, ending: &str) -> std::io::Result<()> {
        let from = std::mem::replace(now, PathBuf::from(path));
        let mut files: Vec<PathBuf> = std::fs::read_dir(&from)?
            .flatten()
            .map(|e| e.path())
            .filter(|file| file.extension().is_some_and(|e| e == ending))
            .collect();
        files.sort();
        for file in files {
            if let Some(name) = file.file_name().and_then(|n| n.to_str()) {
                let path = format!("{path}/{name}");
                self.0.push(Piece { from: file.clone(), path, secret: false });
            }
        }
        Ok(())
    }
}

/// Takes the password out of a URL; whether there was one.
fn hide_password(url: &mut String) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((login, _)) = authority.rsplit_once('@') else { return false };
    let Some((user, _)) = login.split_once(':') else { return false };
    let rest = rest.get(login.len()..).unwrap_or_default();
    *url = format!("{scheme}://{user}{rest}");
    true
}

/// Where a private key lies in a directory of keys that an operator keeps: the file's own name.
#[must_use]
pub fn apart<'a>(keys: &Path, path: &'a str) -> (PathBuf, &'a str) {
    let name = path.rsplit('/').next().unwrap_or(path);
    (keys.join(name), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_leave_a_url_and_nothing_else_does() {
        for (url, left, hidden) in [
            ("postgres://u:p@h:1/d?x=1", "postgres://u@h:1/d?x=1", true),
            ("amqp://u:p%40w@h/v", "amqp://u@h/v", true),
            ("postgres://u@h/d", "postgres://u@h/d", false),
            ("kafka://h:9092", "kafka://h:9092", false),
            ("embedded:///a/b@c:d", "embedded:///a/b@c:d", false),
        ] {
            let mut text = url.to_owned();
            assert_eq!((hide_password(&mut text), text.as_str()), (hidden, left), "{url}");
        }
    }
}
