//! `pli backup`: taking, checking and restoring backups of a node.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use schemas::ids::NodeId;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use signing::encrypt::EncryptionKey;
use signing::trust::{Anchors, pem_certificates};

use super::bar::Bar;
use super::node::runtime;
use super::{Call, Failure, Text, audit, text};
use crate::backup::restore::{KeySource, Outcome, Refused, Restored};
use crate::backup::{Index, KeyPlace, Stage, check, create, restore};
use crate::clock::{self, Clock as _};
use crate::config::Config;
use crate::files;
use crate::recollection::marks::{self, How};

/// `pli backup`
#[derive(Debug, Subcommand)]
pub(super) enum BackupVerb {
    /// Take a backup, whether the node runs or not
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// Check that a backup is whole; needs neither the node nor its keys
    Verify(VerifyArgs),
    /// After the database went back by other means: ask the neighbours at the next start
    Recall(RecallArgs),
    /// Wait no longer for a neighbour that cannot say what it holds
    Release(ReleaseArgs),
    /// Put a backup on a bare machine
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
}

const CREATE_EXAMPLES: &str = "\
  pli backup create --config node.toml --to /backup --keys-for operator.pem
  pli backup create --config node.toml --to /backup --base /backup/pli-cd-34-20261124020000";
const RESTORE_EXAMPLES: &str = "\
  pli backup restore /backup/pli-cd-34-20261124020000 --to /srv/pli --keys /media/safe
  pli backup restore BACKUP --to /srv/pli --store postgres://pli:PASSWORD@db/pli \\
      --backbone amqps://cd-34:PASSWORD@broker/pli --key operator.key --certificate operator.pem";

/// `pli backup create`
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Directory that gets the backup, under a name with the node and the time
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// An earlier backup on the same disk; content that has not changed is linked to it
    #[arg(long, value_name = "BACKUP")]
    base: Option<PathBuf>,
    /// PEM of whoever may recover the private keys; without it, they are not in the backup
    #[arg(long, value_name = "CERTIFICATE")]
    keys_for: Vec<PathBuf>,
}

/// `pli backup verify`
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The backup
    backup: PathBuf,
    /// PEM of the authorities to believe; those in the backup when absent
    #[arg(long, value_name = "PEM")]
    trust: Vec<PathBuf>,
}

/// `pli backup recall`
#[derive(Debug, Args)]
pub(super) struct RecallArgs {
    /// What the database knows: everything before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Timestamp,
}

/// `pli backup release`
#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// The neighbour
    node: NodeId,
}

/// `pli backup restore`
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup
    backup: PathBuf,
    /// Directory of the restored node; absent or empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Its database, empty; as in the backup when absent
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Its backbone; NAME=URL where it has several
    #[arg(long, value_name = "URL")]
    backbone: Vec<String>,
    /// PEM of the authorities to believe; those in the backup when absent
    #[arg(long, value_name = "PEM")]
    trust: Vec<PathBuf>,
    /// Directory with the private keys that were kept apart: seal.key, encryption.key, storage.key
    #[arg(long, value_name = "DIR", required_unless_present = "key")]
    keys: Option<PathBuf>,
    /// Private key that opens the keys in the backup
    #[arg(long, value_name = "PEM", conflicts_with = "keys", requires = "certificate")]
    key: Option<PathBuf>,
    /// Its certificate, to which the keys were enciphered
    #[arg(long, value_name = "PEM")]
    certificate: Option<PathBuf>,
}

const TAKEN: Text = text(
    "{0}\n  {1} messages, {2} sealed objects, {3} files, {4} octets; everything committed before {5}",
    "{0}\n  {1} plis, {2} objets scellés, {3} fichiers, {4} octets ; tout ce qui était validé avant {5}",
);
const APART: Text = text(
    "  The private keys are NOT in it: keep seal.key, encryption.key and storage.key apart and safe.\n  Without storage.key no document can be read again.",
    "  Les clés privées n'y sont PAS : gardez à part, en sûreté, seal.key, encryption.key et storage.key.\n  Sans storage.key aucun document ne se relira.",
);
const ENCIPHERED: Text = text(
    "  The private keys are in keys.p7m, enciphered: keep the key of that certificate elsewhere.",
    "  Les clés privées sont dans keys.p7m, chiffrées : gardez ailleurs la clé de ce certificat.",
);
const WITHHELD: Text = text(
    "  Passwords were left out ({0}): you will be asked for them.",
    "  Les mots de passe n'y sont pas ({0}) : ils vous seront demandés.",
);
const DAMAGED: Text = text(
    "  DAMAGED before it was copied: {0}. Look for it in an earlier backup.",
    "  ENDOMMAGÉ avant d'être copié : {0}. Cherchez-le dans une sauvegarde antérieure.",
);
const SOUND: Text = text(
    "{0}: whole. Node {1}, taken {2}; {3} files.",
    "{0} : intègre. Nœud {1}, prise le {2} ; {3} fichiers.",
);
const FLAW: Text = text("{0}  {1}", "{0}  {1}");
const RESTORED: Text = text(
    "Node {0} is in {1}, as it was at {2}.\n  What happened after that, up to the loss, is not in the backup: a window of at most {3} s.",
    "Le nœud {0} est dans {1}, dans son état du {2}.\n  Ce qui a suivi, jusqu'à la perte, n'est pas dans la sauvegarde : fenêtre d'au plus {3} s.",
);
const NEXT: Text = text(
    "  Next: 1. make sure that the lost node never runs again;\n        2. copy the current lists of the authority into directory/ and crls/;\n        3. pli node doctor, pli fsck, pli audit verify, each with --config {0};\n        4. pli node run --config {0}\n  It asks its neighbours what happened since, and goes on when each has answered (pli node status).",
    "  Ensuite : 1. assurez-vous que le nœud perdu ne tournera plus jamais ;\n            2. copiez les listes actuelles de l'autorité dans directory/ et crls/ ;\n            3. pli node doctor, pli fsck, pli audit verify, chacun avec --config {0} ;\n            4. pli node run --config {0}\n  Il demande à ses voisins ce qui s'est passé depuis, et reprend quand chacun a répondu (pli node status).",
);
const RELEASED: Text = text(
    "{0} is waited for no longer. What only it knows is forgotten: if this node says something else\n  about it now, {0} will not believe it, and sets it aside.",
    "{0} n'est plus attendu. Ce que lui seul sait est oublié : si ce nœud dit maintenant autre chose\n  à ce sujet, {0} ne le croira pas, et le mettra de côté.",
);
const RECALLS: Text = text(
    "At its next start the node asks its neighbours what happened since {0}, before it decides anything.",
    "À son prochain démarrage, le nœud demande à ses voisins ce qui s'est passé depuis {0}, avant toute décision.",
);
const NEVER: Text = text(
    "this node was never restored from a backup",
    "ce nœud n'a jamais été restauré d'une sauvegarde",
);
const DATABASE: Text = text("database", "base");
const FILES: Text = text("files", "fichiers");
const CHECKING: Text = text("checking", "contrôle");

pub(super) fn run(verb: BackupVerb, call: &Call) -> anyhow::Result<()> {
    match verb {
        BackupVerb::Create(args) => runtime()?.block_on(take(args, call)),
        BackupVerb::Recall(args) => runtime()?.block_on(recall(&args, call)),
        BackupVerb::Release(args) => runtime()?.block_on(release(&args, call)),
        BackupVerb::Verify(args) => verify(&args, call),
        BackupVerb::Restore(args) => runtime()?.block_on(put_back(args, call)),
    }
}

async fn take(args: CreateArgs, call: &Call) -> anyhow::Result<()> {
    let mut keys_for = Vec::new();
    for file in &args.keys_for {
        keys_for.push(certificate(file)?);
    }
    let order = create::Order {
        config: call.config_file()?,
        to: &args.to,
        base: args.base.as_deref(),
        keys_for: &keys_for,
    };
    let bar = Bar::new(call, BAR);
    let watch = |stage, done, total| bar.show(stage, name(stage, call), done, total);
    let taken = create::create(order, &clock::system(), &watch).await;
    bar.clear();
    let create::Taken { path, index } = taken?;
    if call.screen.json {
        call.screen.object(&told(&path, &index))?;
    } else {
        print(&path, &index, call)?;
    }
    anyhow::ensure!(index.damaged.is_empty(), "content was damaged before the backup");
    Ok(())
}

fn print(path: &Path, index: &Index, call: &Call) -> anyhow::Result<()> {
    let octets: u64 = index.files.iter().map(|f| f.size).sum();
    let archive = &index.archive;
    let (files, taken) = (index.files.len(), index.taken);
    call.screen.line(path.display())?;
    let values: [&dyn std::fmt::Display; 6] =
        [&index.node, &archive.messages, &archive.objects, &files, &octets, &taken];
    call.screen.tell(TAKEN, &values);
    call.screen.tell(if index.keys == KeyPlace::Apart { APART } else { ENCIPHERED }, &[]);
    if !index.withheld.is_empty() {
        call.screen.tell(WITHHELD, &[&index.withheld.join(", ")]);
    }
    for path in &index.damaged {
        call.screen.tell(DAMAGED, &[path]);
    }
    Ok(())
}

fn told(path: &Path, index: &Index) -> Value {
    let octets: u64 = index.files.iter().map(|f| f.size).sum();
    json!({
        "backup": path, "id": index.id, "node": index.node, "taken": index.taken,
        "finished": index.finished, "store": index.archive.dialect,
        "messages": index.archive.messages, "deliveries": index.archive.deliveries,
        "objects": index.archive.objects, "files": index.files.len(), "octets": octets,
        "keys": index.keys, "withheld": index.withheld, "base": index.base,
        "damaged": index.damaged,
    })
}

fn verify(args: &VerifyArgs, call: &Call) -> anyhow::Result<()> {
    let anchors = anchors(&args.trust)?;
    let index = match check::read_index(&args.backup, anchors.as_ref()) {
        Ok(index) => index,
        Err(error) => {
            call.screen.say(format!("{error:#}"));
            if call.screen.json {
                call.screen.object(&json!({ "valid": false, "reason": format!("{error:#}") }))?;
            }
            return Err(Failure::NotValid.into());
        }
    };
    let bar = Bar::new(call, BAR);
    let flaws = check::compare(&args.backup, &index, &|s, d, t| bar.show(s, name(s, call), d, t));
    bar.clear();
    let flaws = flaws?;
    if call.screen.json {
        let mut all = told(&args.backup, &index);
        if let Some(map) = all.as_object_mut() {
            map.insert("valid".to_owned(), flaws.is_empty().into());
            map.insert("flaws".to_owned(), json!(flaws));
        }
        call.screen.object(&all)?;
    } else if flaws.is_empty() {
        let path = args.backup.display();
        call.screen.tell(SOUND, &[&path, &index.node, &index.taken, &index.files.len()]);
    }
    ended(&flaws, call)
}

fn ended(flaws: &[check::Flaw], call: &Call) -> anyhow::Result<()> {
    if flaws.is_empty() {
        return Ok(());
    }
    if !call.screen.json {
        for flaw in flaws {
            call.screen.tell(FLAW, &[&flaw.code, &flaw.path]);
        }
    }
    Err(Failure::NotValid.into())
}

async fn put_back(args: RestoreArgs, call: &Call) -> anyhow::Result<()> {
    let anchors = anchors(&args.trust)?;
    let opener = match (&args.key, &args.certificate) {
        (Some(key), Some(certificate_file)) => {
            let key = zeroize::Zeroizing::new(files::read(key)?);
            Some(EncryptionKey::from_pkcs8_pem(&key, &certificate(certificate_file)?)?)
        }
        _ => None,
    };
    let keys = match (&opener, &args.keys) {
        (Some(key), _) => KeySource::Enciphered(key),
        (None, Some(dir)) => KeySource::Apart(dir),
        (None, None) => return Err(Failure::usage("--keys DIR, or --key and --certificate")),
    };
    let backbones: Vec<_> = args.backbone.iter().map(|text| named(text)).collect();
    let order = restore::Order {
        backup: &args.backup,
        to: &args.to,
        store: args.store.as_deref(),
        backbones: &backbones,
        anchors: anchors.as_ref(),
        keys,
    };
    let bar = Bar::new(call, BAR);
    let done =
        restore::restore(&order, &clock::system(), &|s, d, t| bar.show(s, name(s, call), d, t))
            .await;
    bar.clear();
    match done {
        Ok(Outcome::Restored(restored)) => restored_well(&args, &restored, call),
        Ok(Outcome::Flawed(flaws)) => {
            if call.screen.json {
                call.screen.object(&json!({ "restored": false, "flaws": flaws }))?;
            }
            ended(&flaws, call)
        }
        Err(error) if error.is::<Refused>() => Err(Failure::usage(format!("{error:#}"))),
        Err(error) => Err(error),
    }
}

fn restored_well(args: &RestoreArgs, restored: &Restored, call: &Call) -> anyhow::Result<()> {
    let Restored { config, index, at } = restored;
    let window = at.since(index.taken);
    if call.screen.json {
        return call.screen.object(&json!({
            "restored": true, "node": index.node, "config": config, "backup": index.id,
            "taken": index.taken, "restored_at": at, "window_ms": window,
            "messages": index.archive.messages, "objects": index.archive.objects,
        }));
    }
    let to = args.to.display();
    let seconds = window.saturating_add(999) / 1_000;
    call.screen.tell(RESTORED, &[&index.node, &to, &index.taken, &seconds]);
    call.screen.tell(NEXT, &[&config.display()]);
    Ok(())
}

/// For a node that does not run: what it says before the next start is said without asking.
async fn recall(args: &RecallArgs, call: &Call) -> anyhow::Result<()> {
    let config = Config::read(call.config_file()?, std::env::vars())?;
    let store = exchange_store::open(&config.store.url).await?;
    let about = json!({ "since": args.since });
    audit::note(call, store.as_ref(), "backup recall", about).await?;
    let now = clock::system().now();
    marks::begin(store.as_ref(), uuid::Uuid::nil(), args.since, now).await?;
    call.screen.tell(RECALLS, &[&args.since]);
    Ok(())
}

async fn release(args: &ReleaseArgs, call: &Call) -> anyhow::Result<()> {
    let config = Config::read(call.config_file()?, std::env::vars())?;
    let store = exchange_store::open(&config.store.url).await?;
    let mark = marks::latest(store.as_ref()).await?;
    let mark = mark.ok_or_else(|| Failure::usage(NEVER.of(call.screen.lang)))?;
    let about = json!({ "node": args.node, "backup": mark.backup });
    audit::note(call, store.as_ref(), "backup release", about).await?;
    let now = clock::system().now();
    marks::answered(store.as_ref(), &mark, &args.node, How::Released, now).await?;
    call.screen.tell(RELEASED, &[&args.node]);
    Ok(())
}

/// `NAME=URL`, or a URL.
fn named(text: &str) -> (Option<String>, String) {
    match text.split_once('=').filter(|(name, _)| !name.contains("://")) {
        Some((name, url)) => (Some(name.to_owned()), url.to_owned()),
        None => (None, text.to_owned()),
    }
}

fn certificate(file: &Path) -> anyhow::Result<Vec<u8>> {
    let all = pem_certificates(&files::read(file)?).unwrap_or_default();
    let none = || Failure::usage(format!("{} holds no PEM certificate", file.display()));
    all.into_iter().next().ok_or_else(none)
}

fn anchors(paths: &[PathBuf]) -> anyhow::Result<Option<Anchors>> {
    let mut all = Anchors::none();
    for path in paths {
        let bad = |_| Failure::usage(format!("{} holds no anchor", path.display()));
        all.extend(&Anchors::from_pem(&files::read(path)?).map_err(bad)?);
    }
    Ok((!paths.is_empty()).then_some(all))
}

const BAR: &str = "{msg:10} {bar:40} {bytes}/{total_bytes}  {bytes_per_sec}";

fn name(stage: Stage, call: &Call) -> &'static str {
    let name = match stage {
        Stage::Database => DATABASE,
        Stage::Files => FILES,
        Stage::Checking => CHECKING,
    };
    name.of(call.screen.lang)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backbone_may_have_a_name() {
        assert_eq!(named("amqp://u:p=w@h/v"), (None, "amqp://u:p=w@h/v".to_owned()));
        let named = named("departement=amqp://u:p=w@h/v");
        assert_eq!(named, (Some("departement".to_owned()), "amqp://u:p=w@h/v".to_owned()));
    }
}
