//! `pli node doctor`: tries each dependency for real, the way the node will use it, and says what
//! to do about what does not work. It works with the node stopped as well as running.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use exchange_core::route::Freshness;
use exchange_store::content::{Content as _, FsContent};
use schemas::time::{DAY, SECOND, Timestamp};
use serde::Serialize;
use signing::digest::sha256;
use signing::encrypt::{DocumentKey, unwrap, wrap};
use signing::trust::SealVerifier;
use signing::tsp::TsaClient;

use super::{Call, Text, text};
use crate::admission::Admission;
use crate::api::health::SLOW;
use crate::clock::{self, Clock as _};
use crate::config::{BackboneSection, Config};
use crate::directory::Follower;
use crate::keys::Keys;
use crate::roads::Road;

/// Longest wait for one dependency.
const PATIENCE: Duration = Duration::from_secs(15);
/// A certificate that ends sooner deserves a word.
const SOON: i64 = 30 * DAY;

/// One examination.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    ms: u64,
}

const KEYS: Text = text(
    "see [keys] and [trust] of the configuration; certificates come from the central authority",
    "voir [keys] et [trust] dans la configuration ; les certificats viennent de l'autorité centrale",
);
const SEAL: Text = text(
    "ask the central authority for a certificate or current revocation lists (*.crl in keys.crls)",
    "demandez à l'autorité centrale un certificat ou des listes de révocation à jour (*.crl)",
);
const DIRECTORY: Text = text(
    "copy the current root.p7m, catalogue.p7m and members-*.p7m of the central authority",
    "copiez les root.p7m, catalogue.p7m et members-*.p7m actuels de l'autorité centrale",
);
const STORE: Text = text(
    "is the database server running, store.url right, and is there room on its disk?",
    "le serveur tourne-t-il, store.url est-elle juste, reste-t-il de la place sur son disque ?",
);
const CONTENT: Text = text(
    "content.dir must be writable, with room on its disk",
    "content.dir doit être accessible en écriture, avec de la place sur son disque",
);
const ROOM: Text = text(
    "free space there: submissions are refused below limits.min_free_bytes, and taken again above",
    "libérez de la place : sous limits.min_free_bytes les dépôts sont refusés, puis repris au-dessus",
);
const BACKBONE: Text = text(
    "is the broker running, backbone.url right, and may this login make and read its lanes?",
    "le courtier tourne-t-il, backbone.url est-elle juste, ce compte a-t-il les droits voulus ?",
);
const TSA: Text = text(
    "is it reachable from here, and does trust.tsa_anchors hold its anchor?",
    "est-il joignable d'ici, et trust.tsa_anchors contient-il son ancre ?",
);
const CLOCK: Text = text(
    "set the clock (NTP): other nodes refuse what is more than five minutes ahead",
    "mettez l'horloge à l'heure (NTP) : les autres nœuds refusent plus de cinq minutes d'avance",
);
const SLUGGISH: Text = text(
    "it works, and is slow: everything that waits for it is. Is its disk or its network busy?",
    "il répond, mais lentement, et tout ce qui l'attend aussi : son disque ou son réseau est-il chargé ?",
);
const SOUND: Text = text("All is well.", "Tout va bien.");
const ILL: Text = text("{0} thing(s) do not work.", "{0} point(s) ne fonctionnent pas.");

pub(super) async fn run(config: &Config, call: &Call) -> anyhow::Result<()> {
    let mut visit = Visit { call, findings: Vec::new() };
    let now = clock::system().now();
    let keys = visit.examine("keys", KEYS, async { read_keys(config) }).await?;
    if let Some(keys) = &keys {
        visit.examine("seal", SEAL, async { seal(keys, now) }).await?;
        visit.examine("encryption", KEYS, async { encryption(keys) }).await?;
        visit.examine("directory", DIRECTORY, async { directory(config, keys, now) }).await?;
    }
    visit.examine("store", STORE, store(config, now)).await?;
    visit.examine("content", CONTENT, content(config)).await?;
    visit.examine("room", ROOM, async { room(config) }).await?;
    for section in config.backbone.all() {
        let name = section.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        let examined = backbone(config, section);
        visit.examine(&format!("backbone{name}"), BACKBONE, examined).await?;
    }
    for url in &config.tsa.urls {
        let keys = keys.as_ref();
        visit.examine(&format!("tsa {url}"), TSA, tsa(url, keys, now)).await?;
    }
    visit.examine("clock", CLOCK, clock(config, now)).await?;
    let ill = visit.findings.iter().filter(|f| !f.ok).count();
    if ill == 0 {
        call.screen.tell(SOUND, &[]);
        return Ok(());
    }
    bail!(ILL.fill(call.screen.lang, &[&ill]))
}

struct Visit<'a> {
    call: &'a Call,
    findings: Vec<Finding>,
}

/// What an examination gives: something to go on with, and a word about it.
type Examined<T> = anyhow::Result<(T, String)>;

impl Visit<'_> {
    async fn examine<T>(
        &mut self,
        name: &str,
        remedy: Text,
        work: impl Future<Output = Examined<T>>,
    ) -> anyhow::Result<Option<T>> {
        let begin = Instant::now();
        let outcome = match tokio::time::timeout(PATIENCE, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())),
        };
        let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (value, detail) = match outcome {
            Ok((value, detail)) => (Some(value), detail),
            Err(error) => (None, format!("{error:#}")),
        };
        let ok = value.is_some();
        let remedy = match (ok, begin.elapsed() > SLOW) {
            (true, false) => None,
            (true, true) => Some(SLUGGISH.of(self.call.screen.lang)),
            (false, _) => Some(remedy.of(self.call.screen.lang)),
        };
        let finding = Finding { name: name.to_owned(), ok, detail, remedy, ms };
        self.print(&finding)?;
        self.findings.push(finding);
        Ok(value)
    }

    fn print(&self, finding: &Finding) -> anyhow::Result<()> {
        let screen = self.call.screen;
        if screen.json {
            return screen.object(finding);
        }
        let mark = match (finding.ok, finding.remedy) {
            (true, None) => "ok",
            (true, Some(_)) => "~~",
            (false, _) => "!!",
        };
        screen
            .line(format!("{mark}  {:<11} {} ms  {}", finding.name, finding.ms, finding.detail))?;
        match finding.remedy {
            Some(remedy) => screen.line(format!("      -> {remedy}")),
            None => Ok(()),
        }
    }
}

fn read_keys(config: &Config) -> Examined<Keys> {
    let keys = Keys::read(config)?;
    let subject = keys.sealer.borrow().subject().to_owned();
    Ok((keys, subject))
}

/// Seals something and believes it, as another node would.
fn seal(keys: &Keys, now: Timestamp) -> Examined<()> {
    let sealer = Arc::clone(&keys.sealer.borrow());
    let sealed = sealer.seal(b"pli node doctor", now, None)?;
    SealVerifier::new(keys.anchors.clone())
        .verify(&sealed.der, now)
        .context("other nodes would not believe this seal")?;
    let end = sealer.certificate().not_after;
    let days = end.since(now) / DAY;
    let word = if end.since(now) < SOON { "ends in" } else { "good for" };
    Ok(((), format!("{word} {days} days")))
}

/// Wraps a key to ourselves and opens it, as another node and we would.
fn encryption(keys: &Keys) -> Examined<()> {
    let key = DocumentKey::generate()?;
    let certificate = &keys.encryption.certificate().der;
    let wrapped = wrap(key.expose(), &[certificate])?;
    ensure!(
        unwrap(&wrapped, &keys.encryption)?.as_slice() == key.expose(),
        "another key comes out"
    );
    let stored = keys.storage.wrap(&key, b"doctor")?;
    ensure!(keys.storage.unwrap(&stored, b"doctor")?.expose() == key.expose(), "storage key");
    Ok(((), "wraps and opens".to_owned()))
}

fn directory(config: &Config, keys: &Keys, now: Timestamp) -> Examined<()> {
    let verifier = Arc::new(SealVerifier::new(keys.anchors.clone()));
    let (_, watch) = Follower::start(&config.directory.dir, verifier, now)?;
    let snapshot = watch.current();
    let id = &config.node.id;
    ensure!(snapshot.directory.freshness(now) != Freshness::Expired, "the root list has expired");
    ensure!(snapshot.directory.node(id).is_some(), "{id} is not in the root list");
    let own = keys.sealer.borrow().certificate_der().to_vec();
    let listed = snapshot.seal_certificates(id).any(|c| c == own.as_slice());
    ensure!(listed, "the root list names other seal certificates for {id} than the one here");
    let (root, members) = (snapshot.root(), snapshot.directory.len());
    Ok(((), format!("list {} of {}, {members} members", root.sequence, root.issued_at)))
}

async fn store(config: &Config, now: Timestamp) -> Examined<()> {
    let store = exchange_store::open(&config.store.url).await?;
    let probed = store.probe(now).await;
    let counts = store.counts(now).await;
    store.close().await;
    probed?;
    let (evidence, unanchored) = counts?.evidence;
    Ok(((), format!("{evidence} evidence, {unanchored} of it without anchor")))
}

async fn content(config: &Config) -> Examined<()> {
    let dir: &Path = &config.content.dir;
    FsContent::open(dir).await?.probe().await?;
    Ok(((), dir.display().to_string()))
}

fn room(config: &Config) -> Examined<()> {
    let (free, floor) = (Admission::new(config).free(), config.limits.min_free_bytes);
    ensure!(free >= floor, "{free} bytes are free, {floor} must stay free");
    Ok(((), format!("{} MiB free", free >> 20)))
}

async fn backbone(config: &Config, section: &BackboneSection) -> Examined<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let road = Road::open(config, section).await?.backbone;
    let probed = road.probe().await;
    let name = road.name();
    road.close().await;
    let took = probed?;
    Ok(((), format!("{name}, a round trip in {} ms", took.as_millis())))
}

/// Compares the clock with that of the first authority that says a time.
async fn clock(config: &Config, now: Timestamp) -> Examined<()> {
    let client = TsaClient::new(config.tsa.urls.clone());
    match client.stamp(&sha256(now.to_string().as_bytes()), now).await {
        Ok(token) => {
            let off = now.since(token.gen_time());
            Ok(((), format!("{} s from that of an authority", off.abs() / SECOND)))
        }
        Err(failures) => match failures.clock() {
            Some(wrong) => bail!(wrong),
            None => Ok(((), "not compared: no authority says a time".to_owned())),
        },
    }
}

async fn tsa(url: &str, keys: Option<&Keys>, now: Timestamp) -> Examined<()> {
    let mut client = TsaClient::new(vec![url.to_owned()]);
    if let Some(keys) = keys {
        client = client.trusting(keys.tsa_anchors.clone());
    }
    let token = client.stamp(&sha256(now.to_string().as_bytes()), now).await?;
    Ok(((), format!("stamped {}", token.gen_time())))
}
