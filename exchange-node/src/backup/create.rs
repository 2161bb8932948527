//! Taking a backup, of a node that runs or of one that does not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exchange_store::backup::SQLITE_FILE;
use serde_json::{Map, json};
use signing::seal::Sealer;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::copy::{Base, Pile};
use super::settings::{self, Piece, Portable};
use super::{ARCHIVE, INDEX, Index, KEYS, KeyPlace, Stage, Watch, check, storage_check};
use crate::audit::Journal;
use crate::clock::Clock;
use crate::config::Config;
use crate::files;
use crate::keys::Keys;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The configuration file of the node.
    pub config: &'a Path,
    /// Where the backup goes: a directory that may hold others.
    pub to: &'a Path,
    /// An earlier one, whose files stand for those that have not changed.
    pub base: Option<&'a Path>,
    /// Certificates (DER) to whose holders the private keys are enciphered; none leaves them out.
    pub keys_for: &'a [Vec<u8>],
}

/// A backup that was taken.
#[derive(Debug)]
pub struct Taken {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub index: Index,
}

/// Takes a backup. It appears under its name when it is complete.
///
/// # Errors
/// Naming what cannot be read or written; nothing is left then.
pub async fn create(order: Order<'_>, clock: &dyn Clock, watch: Watch<'_>) -> Result<Taken> {
    let config = Config::read(order.config, std::env::vars())?;
    let keys = Keys::read(&config)?;
    let base = order.base.map(|dir| check::read_index(dir, None)).transpose()?;
    let id = Uuid::now_v7();
    let name = format!("pli-{}-{}", config.node.id, clock.now().compact());
    let (path, partial) = (order.to.join(&name), order.to.join(format!(".{name}.partial")));
    super::copy::must_be_free(&path)?;
    private_directory(&partial.join(ARCHIVE))?;
    let store = exchange_store::open(&config.store.url).await.context("the database")?;
    let sealer = keys.sealer.borrow().clone();
    let about = json!({ "backup": id, "to": path });
    let journal = Journal::beside(order.config);
    journal.append(store.as_ref(), &sealer, clock.now(), "backup create", about).await?;
    store.close().await;
    let work = Work { order, config, id, sealer, base, partial: partial.clone() };
    let done = work.fill(&journal, clock, watch).await;
    let placed = done.and_then(|index| {
        fs::rename(&partial, &path).with_context(|| path.display().to_string())?;
        File::open(order.to)?.sync_all()?;
        Ok(Taken { path, index })
    });
    if placed.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    placed
}

/// Makes a directory for its owner alone.
pub(super) fn private_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("{} cannot be made", path.display()))
}

struct Work<'a> {
    order: Order<'a>,
    config: Config,
    id: Uuid,
    sealer: std::sync::Arc<Sealer>,
    base: Option<Index>,
    partial: PathBuf,
}

impl Work<'_> {
    async fn fill(&self, journal: &Journal, clock: &dyn Clock, watch: Watch<'_>) -> Result<Index> {
        let mut pile = Pile::new(self.partial.clone());
        // From here on: what is committed before this moment is in it.
        let taken = clock.now();
        let told = |done, total| watch(Stage::Database, done, total);
        let archive = self.partial.join(ARCHIVE);
        let archive = exchange_store::backup::snapshot(&self.config.store.url, &archive, &told)
            .await
            .context("the database")?;
        let earlier = self.order.base.zip(self.base.as_ref());
        let base = earlier.map(|(dir, index)| Base::new(dir, index));
        pile.content(&self.config.content.dir, base.as_ref(), watch)?;
        let (log, head) = journal.excerpt(archive.acts, &self.sealer, taken)?;
        pile.write("audit.log", log.as_bytes())?;
        pile.write("audit.p7m", &head)?;
        let portable = settings::portable(&self.config)?;
        self.keys_and_settings(&mut pile, &portable)?;
        let mut files: Vec<String> =
            archive.tables.iter().map(|t| format!("{ARCHIVE}/{}.copy", t.name)).collect();
        if files.is_empty() {
            files.push(format!("{ARCHIVE}/{SQLITE_FILE}"));
        }
        for file in files {
            pile.note(&file, &mut |_| ())?;
        }
        let storage = Zeroizing::new(files::read(&self.config.keys.storage_key)?);
        let index = Index {
            version: 1,
            id: self.id,
            node: self.config.node.id.clone(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            taken,
            finished: clock.now(),
            archive,
            keys: match self.order.keys_for {
                [] => KeyPlace::Apart,
                _ => KeyPlace::Enciphered,
            },
            storage_check: storage_check(&storage),
            withheld: portable.withheld,
            base: self.base.as_ref().map(|index| index.id),
            damaged: std::mem::take(&mut pile.damaged),
            files: pile.entries(),
        };
        let sealed = self.sealer.seal(&serde_json::to_vec(&index)?, index.finished, None)?;
        files::write_private(&self.partial.join(INDEX), &sealed.der)?;
        Ok(index)
    }

    fn keys_and_settings(&self, pile: &mut Pile, portable: &Portable) -> Result<()> {
        pile.write("node.toml", toml::to_string(&portable.config)?.as_bytes())?;
        for piece in portable.pieces.iter().filter(|p| !p.secret) {
            pile.bring(&piece.from, &piece.path)?;
        }
        if !self.order.keys_for.is_empty() {
            let secrets: Vec<&Piece> = portable.pieces.iter().filter(|p| p.secret).collect();
            pile.write(KEYS, &enciphered(&secrets, self.order.keys_for)?)?;
        }
        Ok(())
    }
}

/// Private keys as a CMS envelope: `openssl cms -decrypt` recovers a JSON object of file names and
/// octets in base64.
fn enciphered(secrets: &[&Piece], certificates: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut all = Map::new();
    for piece in secrets {
        let bytes = Zeroizing::new(files::read(&piece.from)?);
        all.insert(piece.path.clone(), STANDARD.encode(&*bytes).into());
    }
    let json = Zeroizing::new(serde_json::to_vec(&all)?);
    let recipients: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    signing::encrypt::wrap(&json, &recipients).context("the certificate for the keys")
}
