//! Putting a backup on a bare machine. Everything is verified first; the node appears under its
//! directory when it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exchange_store::Store;
use schemas::time::Timestamp;
use serde_json::{Map, Value, json};
use signing::encrypt::EncryptionKey;
use signing::trust::Anchors;
use zeroize::Zeroizing;

use super::check::{self, Flaw};
use super::copy::{copy, must_be_free};
use super::create::private_directory;
use super::{ARCHIVE, Index, KEYS, Stage, Watch, settings, storage_check};
use crate::audit::Journal;
use crate::clock::Clock;
use crate::config::Config;
use crate::files;
use crate::keys::Keys;
use crate::recollection::marks;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The backup.
    pub backup: &'a Path,
    /// Where the node goes.
    pub to: &'a Path,
    /// Its database; as in the backup when absent.
    pub store: Option<&'a str>,
    /// Its backbones: the name, when there are several, and the URL.
    pub backbones: &'a [(Option<String>, String)],
    /// Whom to believe.
    pub anchors: Option<&'a Anchors>,
    /// The private keys.
    pub keys: KeySource<'a>,
}

/// Where the private keys come from.
#[derive(Clone, Copy, Debug)]
pub enum KeySource<'a> {
    /// A directory that the operator has kept apart.
    Apart(&'a Path),
    /// The backup; with the operator's key.
    Enciphered(&'a EncryptionKey),
}

/// How a restoration ended.
#[derive(Debug)]
pub enum Outcome {
    /// The node is in place.
    Restored(Box<Restored>),
    /// The backup is not whole; nothing was written.
    Flawed(Vec<Flaw>),
}

/// A node that was restored.
#[derive(Debug)]
pub struct Restored {
    /// Its configuration file.
    pub config: PathBuf,
    /// What it was restored from.
    pub index: Index,
    /// When.
    pub at: Timestamp,
}

/// Why a restoration is refused before anything is written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Something lies where the node would go.
    #[error("{0}: a restoration never overwrites")]
    Occupied(String),
    /// The backup holds no password for it.
    #[error("the backup holds no password: say --{0} URL")]
    Withheld(String),
    /// The configuration has no such backbone.
    #[error("this node has no backbone {0:?}")]
    NoBackbone(String),
}

/// Restores.
///
/// # Errors
/// [`Refused`], or naming what cannot be read or written.
pub async fn restore(order: &Order<'_>, clock: &dyn Clock, watch: Watch<'_>) -> Result<Outcome> {
    let index = check::read_index(order.backup, order.anchors)?;
    let config = target(order, &index)?;
    must_be_free(order.to).map_err(|e| Refused::Occupied(format!("{e:#}")))?;
    let flaws = check::compare(order.backup, &index, watch)?;
    if !flaws.is_empty() {
        return Ok(Outcome::Flawed(flaws));
    }
    let partial = beside(order.to)?;
    private_directory(&partial)?;
    let done = fill(order, &index, &config, &partial, clock, watch).await;
    let placed = done.and_then(|at| {
        if order.to.exists() {
            fs::remove_dir(order.to)?;
        }
        fs::rename(&partial, order.to).with_context(|| order.to.display().to_string())?;
        if let Some(parent) = order.to.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(at)
    });
    if placed.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    let restored = Restored { config: order.to.join("node.toml"), at: placed?, index };
    Ok(Outcome::Restored(Box::new(restored)))
}

fn beside(to: &Path) -> Result<PathBuf> {
    let name = to.file_name().context("--to names no directory")?.to_string_lossy().into_owned();
    Ok(to.with_file_name(format!(".{name}.restoring-{}", std::process::id())))
}

/// The configuration of the restored node.
fn target(order: &Order<'_>, index: &Index) -> Result<Config> {
    let mut config = check::settings(order.backup)?;
    let missing = |what: &str| index.withheld.iter().any(|w| w == what);
    match order.store {
        Some(url) => url.clone_into(&mut config.store.url),
        None if missing("store") => return Err(Refused::Withheld("store".to_owned()).into()),
        None => {}
    }
    let mut given: Vec<&(Option<String>, String)> = order.backbones.iter().collect();
    for road in config.backbone.all_mut() {
        let name = road.name.as_ref().map(ToString::to_string);
        let at = given.iter().position(|(said, _)| said.is_none() || *said == name);
        match at.map(|at| given.swap_remove(at)) {
            Some((_, url)) => url.clone_into(&mut road.url),
            None => {
                let what =
                    name.as_ref().map_or_else(|| "backbone".into(), |n| format!("backbone {n}"));
                if missing(&what) {
                    return Err(Refused::Withheld(what.replace(' ', " NAME=")).into());
                }
            }
        }
    }
    if let Some((name, url)) = given.first() {
        return Err(Refused::NoBackbone(name.clone().unwrap_or_else(|| url.clone())).into());
    }
    Ok(config)
}

async fn fill(
    order: &Order<'_>,
    index: &Index,
    config: &Config,
    partial: &Path,
    clock: &dyn Clock,
    watch: Watch<'_>,
) -> Result<Timestamp> {
    bring_files(order.backup, index, partial, watch)?;
    files::write_private(&partial.join("node.toml"), toml::to_string(config)?.as_bytes())?;
    bring_keys(order, config, partial)?;
    let file = partial.join("node.toml");
    let config = Config::read(&file, std::iter::empty())?;
    let keys = Keys::read(&config).context("the keys")?;
    let storage = Zeroizing::new(files::read(&config.keys.storage_key)?);
    ensure!(storage_check(&storage) == index.storage_check, "the storage key is another one");
    let url = &config.store.url;
    let empty = exchange_store::backup::is_empty(url).await.context("the database")?;
    ensure!(empty, Refused::Occupied("the database is not empty".to_owned()));
    let told = |done, total| watch(Stage::Database, done, total);
    let archive = order.backup.join(ARCHIVE);
    exchange_store::backup::load(url, &archive, &index.archive, &told)
        .await
        .context("the database")?;
    let store = exchange_store::open(url).await.context("the database")?;
    let at = note(store.as_ref(), &file, &keys, index, clock).await;
    store.close().await;
    at
}

/// The journal tells of it, in the chain that the backup brought.
async fn note(
    store: &dyn Store,
    config: &Path,
    keys: &Keys,
    index: &Index,
    clock: &dyn Clock,
) -> Result<Timestamp> {
    let (at, sealer) = (clock.now(), keys.sealer.borrow().clone());
    let about = json!({ "backup": index.id, "taken": index.taken });
    let journal = Journal::beside(config);
    journal.append(store, &sealer, at, "backup restore", about).await?;
    // Before it decides anything the node asks its neighbours.
    marks::begin(store, index.id, index.taken, at).await?;
    Ok(at)
}

fn bring_files(backup: &Path, index: &Index, partial: &Path, watch: Watch<'_>) -> Result<()> {
    let archive = format!("{ARCHIVE}/");
    let kept: Vec<_> = index
        .files
        .iter()
        .filter(|e| !e.path.starts_with(&archive) && e.path != KEYS && e.path != "node.toml")
        .collect();
    let total = kept.iter().map(|e| e.size).sum();
    let mut done = 0;
    private_directory(&partial.join("content"))?;
    for entry in kept {
        let (_, sha256) = copy(&backup.join(&entry.path), &partial.join(&entry.path), &mut |n| {
            done += n;
            watch(Stage::Files, done, total);
        })
        .with_context(|| entry.path.clone())?;
        ensure!(sha256 == entry.sha256, "{} changed while it was copied", entry.path);
    }
    Ok(())
}

/// Writes the private keys where the configuration names them.
fn bring_keys(order: &Order<'_>, config: &Config, partial: &Path) -> Result<()> {
    let secrets = secrets(config);
    let mut enciphered = Map::new();
    if let KeySource::Enciphered(key) = order.keys {
        let envelope = files::read(&order.backup.join(KEYS))?;
        let json = signing::encrypt::unwrap(&envelope, key).context("keys.p7m")?;
        enciphered = serde_json::from_slice(&json).context("keys.p7m")?;
    }
    for path in secrets {
        let bytes = match order.keys {
            KeySource::Apart(dir) => files::read(&settings::apart(dir, &path).0)?,
            KeySource::Enciphered(_) => {
                let text = enciphered.get(&path).and_then(Value::as_str);
                STANDARD.decode(text.with_context(|| format!("keys.p7m has no {path}"))?)?
            }
        };
        files::write_private(&partial.join(&path), &Zeroizing::new(bytes))?;
    }
    Ok(())
}

/// Paths of the private keys in a portable configuration.
fn secrets(config: &Config) -> Vec<String> {
    let keys = &config.keys;
    let own = [&keys.seal_key, &keys.encryption_key, &keys.storage_key];
    let roads = config.backbone.all().filter_map(|road| road.key.as_ref());
    own.into_iter().chain(roads).map(|path| path.display().to_string()).collect()
}
