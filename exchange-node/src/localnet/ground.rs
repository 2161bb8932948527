//! Laying the ground of a new network: authority, keys, ports, configuration, clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use exchange_store::rows::ClientRow;
use schemas::directory::{MemberEntry, Standing};
use schemas::ids::{NodeId, ProcessCode};
use schemas::party::Party;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::credentials;
use super::description::{Description, MemberFacts, NodeFacts, ReplicaFacts};
use super::keys::{self, Place};
use super::network::{Unfit, Wishes};
use super::ports;
use super::topology::{MemberPlan, NodePlan, Topology};
use crate::authority::{self, CatalogueFile, CentralAuthority, MembersSeal};
use crate::config::{BackboneSection, Backbones, Config};
use crate::{files, secret};

const FILE: &str = "network.json";

/// What a network remembers. Used in stored state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// `embedded` or a URL, by name of the backbone.
    pub backbones: BTreeMap<String, String>,
    /// Where the credentials of nodes were, by name of the backbone that knows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, PathBuf>,
    /// `sqlite`, or the URL of a server.
    pub store: String,
    /// Sets it apart from other networks on the same broker and database server.
    pub namespace: NodeId,
    /// What it is made of.
    pub topology: Topology,
}

impl State {
    /// Reads it; none when the network was not made, or not made whole.
    ///
    /// # Errors
    /// The file is not one of ours.
    pub fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let state = serde_json::from_slice(&files::read(&file)?);
        state.map(Some).with_context(|| format!("{} is not one of ours", file.display()))
    }

    /// Itself, when it is what is wished for.
    ///
    /// # Errors
    /// [`Unfit`] names the difference.
    pub fn check(self, wishes: &Wishes) -> Result<Self, Unfit> {
        let differs = |what: &str| {
            Err(Unfit(format!("this network was made with another {what}: `down --purge` first")))
        };
        if wishes.topology.as_ref().is_some_and(|t| *t != self.topology) {
            return differs("topology");
        }
        if wishes.store.as_ref().is_some_and(|s| *s != self.store) {
            return differs("store");
        }
        let asked = backbones(&wishes.backbones, &self.topology)?;
        if !wishes.backbones.is_empty() && asked != self.backbones {
            return differs("backbone");
        }
        let asked = credentials::read(&wishes.credentials, &self.backbones, &self.topology)?;
        if !wishes.credentials.is_empty() && asked != self.credentials {
            return differs("directory of credentials");
        }
        Ok(self)
    }
}

/// Makes everything that a new network needs. The state file comes last: a network that was not
/// made whole is made anew.
///
/// # Errors
/// [`Unfit`], or naming what cannot be made.
pub async fn make(dir: &Path, wishes: &Wishes, now: Timestamp) -> anyhow::Result<State> {
    let topology = match &wishes.topology {
        Some(topology) => topology.clone(),
        None => Topology::built_in()?,
    };
    let backbones = backbones(&wishes.backbones, &topology)?;
    let state = State {
        credentials: credentials::read(&wishes.credentials, &backbones, &topology)?,
        backbones,
        store: wishes.store.clone().unwrap_or_else(|| "sqlite".to_owned()),
        namespace: namespace()?,
        topology,
    };
    refuse_unsupported(&state)?;
    let mut authority = authority(dir, &state.topology, now)?;
    let mut free = ports::pick(1 + processes_of(&state.topology))?.into_iter();
    let mut port = || free.next().context("no port");
    let tsa_url = format!("http://127.0.0.1:{}/", port()?);
    let mut nodes = Vec::new();
    for plan in &state.topology.node {
        let ports = (0..plan.replicas).map(|_| port()).collect::<anyhow::Result<Vec<u16>>>()?;
        keys::enrol(&mut authority, plan, &dir.join(plan.id.as_str()), now)?;
        nodes.push(node(dir, plan, &ports, &tsa_url, &state).await?);
    }
    let trust = vec!["trust/root.pem".into(), "trust/tsa.pem".into()];
    Description { version: 1, trust, tsa_url, tsa_pid: None, nodes }.write(dir)?;
    // It may hold the passwords of broker and server.
    files::write_private(&dir.join(FILE), &serde_json::to_vec_pretty(&state)?)?;
    Ok(state)
}

fn processes_of(topology: &Topology) -> usize {
    topology.node.iter().map(|n| usize::from(n.replicas)).sum()
}

/// The URL of each backbone, from `URL` for a single one or `NAME=URL`; the embedded one is used
/// where nothing is said.
fn backbones(said: &[String], topology: &Topology) -> Result<BTreeMap<String, String>, Unfit> {
    let embedded = || "embedded".to_owned();
    let mut all: BTreeMap<String, String> =
        topology.backbone.iter().map(|road| (road.name.clone(), embedded())).collect();
    for (name, url) in by_name(said, topology, "--backbone NAME=URL")? {
        let schemes = ["amqp://", "amqps://", "kafka://"];
        if url != "embedded" && !schemes.iter().any(|s| url.starts_with(s)) {
            let why =
                "a backbone is `embedded`, kafka://HOST:PORT or amqp://USER:PASSWORD@HOST/VHOST";
            return Err(Unfit(why.to_owned()));
        }
        all.insert(name, url);
    }
    Ok(all)
}

/// What is said of each backbone: `VALUE` where there is only one, or `NAME=VALUE`.
pub(super) fn by_name(
    said: &[String],
    topology: &Topology,
    several: &str,
) -> Result<Vec<(String, String)>, Unfit> {
    let each = said.iter().map(|text| {
        let named = text.split_once('=').filter(|(name, _)| !name.contains([':', '/']));
        let (name, value) = match (named, topology.backbone.as_slice()) {
            (Some((name, value)), _) => (name.to_owned(), value.to_owned()),
            (None, [only]) => (only.name.clone(), text.clone()),
            (None, _) => {
                let why = format!("this topology has several backbones: say {several} for each");
                return Err(Unfit(why));
            }
        };
        if topology.backbone.iter().any(|road| road.name == name) {
            return Ok((name, value));
        }
        Err(Unfit(format!("this topology has no backbone {name}")))
    });
    each.collect()
}

fn refuse_unsupported(state: &State) -> Result<(), Unfit> {
    let topology = &state.topology;
    let postgres = ["postgres://", "postgresql://"].iter().any(|s| state.store.starts_with(s));
    if state.store != "sqlite" && !postgres {
        return Err(Unfit("a store is `sqlite` or postgres://...".to_owned()));
    }
    if !postgres && topology.node.iter().any(|n| n.replicas > 1) {
        let why = "replicas share a database server: say --store postgres://...";
        return Err(Unfit(why.to_owned()));
    }
    Ok(())
}

/// Eight random letters.
fn namespace() -> anyhow::Result<NodeId> {
    let bytes = secret::random::<8>()?;
    let letters: String = bytes.iter().map(|b| char::from(b'a' + b % 26)).collect();
    Ok(letters.parse()?)
}

fn authority(dir: &Path, topology: &Topology, now: Timestamp) -> anyhow::Result<CentralAuthority> {
    for part in ["authority", "tsa", "trust"].map(|part| dir.join(part)) {
        if part.exists() {
            std::fs::remove_dir_all(&part).with_context(|| part.display().to_string())?;
        }
    }
    let home = dir.join("authority");
    let mut it = CentralAuthority::init(&home, "Pli localnet", "http://pki.localnet", now)?;
    it.enrol_tsa(&dir.join("tsa"), "Pli localnet TSA", now)?;
    files::directory(&dir.join("trust"))?;
    for anchor in ["root.pem", "tsa.pem"] {
        let pem = files::read(&home.join("trust").join(anchor))?;
        files::write_public(&dir.join("trust").join(anchor), &pem)?;
    }
    CatalogueFile { process: topology.process.clone() }.write(&home)?;
    Ok(it)
}

async fn node(
    dir: &Path,
    plan: &NodePlan,
    ports: &[u16],
    tsa_url: &str,
    state: &State,
) -> anyhow::Result<NodeFacts> {
    let (id, home) = (&plan.id, dir.join(plan.id.as_str()));
    let roads = roads(plan, state, &home)?;
    let shown: Vec<String> = plan
        .backbones
        .iter()
        .filter_map(|name| state.backbones.get(name))
        .map(|url| without_login(url))
        .collect();
    let store = database(state, id).await?;
    let mut written = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let place = Place {
            port: *port,
            backbone: roads.clone(),
            instance: (ports.len() > 1).then(|| format!("{id}-{}", i + 1)),
            store: store.clone(),
            tsa_url: tsa_url.to_owned(),
        };
        let name = if i == 0 { "node.toml".to_owned() } else { format!("node-{}.toml", i + 1) };
        let text = toml::to_string(&keys::config(id, &place))?;
        // It may hold the passwords of broker and server.
        files::write_private(&home.join(&name), text.as_bytes())?;
        let url = format!("http://127.0.0.1:{port}");
        written.push(ReplicaFacts { url, pid: None, config: Path::new(id.as_str()).join(name) });
    }
    let mut replicas = written.into_iter();
    let first = replicas.next().context("a node needs a process")?;
    Ok(NodeFacts {
        id: id.clone(),
        url: first.url,
        pid: None,
        members: members(&dir.join(&first.config), plan, &state.topology).await?,
        config: first.config,
        backbone: shown.join(" "),
        store: if state.store == "sqlite" { "sqlite" } else { "postgres" }.to_owned(),
        replicas: replicas.collect(),
    })
}

/// The roads of a node. Networks on one broker, and several roads on one broker, are kept apart by
/// the names of their lanes; a broker that knows its nodes knows their lanes by their own names.
fn roads(plan: &NodePlan, state: &State, home: &Path) -> anyhow::Result<Backbones> {
    let several = state.topology.backbone.len() > 1;
    let mut sections = Vec::new();
    for name in &plan.backbones {
        let said = state.backbones.get(name).map_or("embedded", String::as_str);
        let shared = said != "embedded";
        let file = if several { format!("backbone-{name}.db") } else { "backbone.db".to_owned() };
        let namespace: NodeId = match several {
            true => format!("{}-{name}", state.namespace).parse()?,
            false => state.namespace.clone(),
        };
        let road = several.then_some(name.as_str());
        let own = state.credentials.get(name);
        let own = own.map(|dir| credentials::install(dir, &plan.id, home, road)).transpose()?;
        sections.push(BackboneSection {
            name: several.then(|| name.clone()),
            url: if shared { said.to_owned() } else { format!("embedded://../{file}") },
            namespace: (shared && own.is_none()).then_some(namespace),
            ca_file: own.as_ref().map(|own| own.ca_file.clone()),
            certificate: own.as_ref().map(|own| own.certificate.clone()),
            key: own.map(|own| own.key),
            replication: None,
            min_in_sync: None,
            partitions: None,
            max_bytes: None,
            retention_hours: 7 * 24,
        });
    }
    Backbones::new(sections).map_err(anyhow::Error::msg)
}

/// One database per node; the namespace keeps a network from finding the data of a former one.
async fn database(state: &State, id: &NodeId) -> anyhow::Result<String> {
    if state.store == "sqlite" {
        return Ok("sqlite://node.db".to_owned());
    }
    let name = format!("pli_{}_{}", state.namespace, id.as_str().replace('-', "_"));
    exchange_store::create_database(&state.store, &name).await.context("the database server")
}

fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

/// Gives each member of a node a client of the interface.
async fn members(
    config: &Path,
    plan: &NodePlan,
    topology: &Topology,
) -> anyhow::Result<Vec<MemberFacts>> {
    let config = Config::read(config, std::iter::empty())?;
    let store = exchange_store::open(&config.store.url).await.context("the database")?;
    let mut facts = Vec::new();
    for (i, member) in plan.member.iter().enumerate() {
        let client_id = format!("{}-{}", plan.id, i + 1);
        let client_secret = secret::mint()?;
        let row = ClientRow {
            client_id: client_id.clone(),
            secret_hash: secret::hash(&client_secret)?,
            member: Party::siret(&member.siret),
            scopes: ["send", "receive", "read"].map(str::to_owned).to_vec(),
            revoked_at: None,
        };
        store.put_client(&row).await?;
        facts.push(MemberFacts {
            scheme: schemas::party::SIRET.to_owned(),
            id: member.siret.to_string(),
            cog: member.cog.clone(),
            name: member.name.clone(),
            client_id,
            client_secret,
            processes: subscriptions(member, topology),
            software: member.software,
        });
    }
    store.close().await;
    Ok(facts)
}

fn subscriptions(member: &MemberPlan, topology: &Topology) -> Vec<ProcessCode> {
    member.processes.clone().unwrap_or_else(|| topology.codes())
}

/// Seals the members list of each node with that node's own key, and publishes it.
///
/// # Errors
/// A key cannot be used, or a file cannot be written.
pub fn publish_members(dir: &Path, topology: &Topology, now: Timestamp) -> anyhow::Result<()> {
    let published = dir.join("authority/published");
    for plan in &topology.node {
        let keys: PathBuf = dir.join(plan.id.as_str()).join("keys");
        let entries = plan.member.iter().map(|member| MemberEntry {
            party: Party::siret(&member.siret),
            name: member.name.clone(),
            cog: member.cog.clone(),
            mandate_sha256: None,
            processes: subscriptions(member, topology),
            standing: Standing::Active,
            successor: None,
        });
        let seal = MembersSeal {
            key: &keys.join("seal.key"),
            chain: &keys.join("seal.pem"),
            crls: &published,
        };
        authority::publish_members(&published, &plan.id, entries.collect(), seal, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roads(topology: &str, said: &[&str]) -> Result<Vec<String>, String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies");
        let topology = Topology::read(&dir.join(format!("{topology}.toml"))).unwrap();
        let said: Vec<String> = said.iter().map(|s| (*s).to_owned()).collect();
        let all = backbones(&said, &topology).map_err(|Unfit(why)| why)?;
        Ok(all.into_iter().map(|(name, url)| format!("{name}={url}")).collect())
    }

    #[test]
    fn a_single_backbone_needs_no_name() {
        assert_eq!(roads("default", &[]).unwrap(), ["national=embedded"]);
        assert_eq!(roads("default", &["kafka://h:1"]).unwrap(), ["national=kafka://h:1"]);
        let amqp = "amqp://u:p=w@h:1/v";
        assert_eq!(roads("default", &[amqp]).unwrap(), [format!("national={amqp}")]);
    }

    #[test]
    fn several_backbones_are_named() {
        let both = ["national=kafka://h:1", "departement=amqp://h:2"];
        let reversed = ["departement=amqp://h:2", "national=kafka://h:1"];
        assert_eq!(roads("chained", &both).unwrap(), reversed);
        for (bad, why) in [
            ("kafka://h:1", "several"),
            ("sea=kafka://h:1", "no backbone sea"),
            ("national=x", "is `embedded`"),
        ] {
            let said = roads("chained", &[bad]).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn logins_are_not_shown() {
        assert_eq!(without_login("amqp://u:p@h:5672/v"), "amqp://h:5672/v");
        assert_eq!(without_login("embedded"), "embedded");
    }
}
