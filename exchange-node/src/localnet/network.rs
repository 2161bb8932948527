//! Bringing a network up and down. Everything that must survive lies in its directory: `up` on a
//! directory that exists starts what is not running, with the same ports, keys and data.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use exchange_store::rows::ClientRow;
use schemas::directory::{MemberEntry, Standing};
use schemas::ids::NodeId;
use schemas::party::Party;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::description::{Description, MemberFacts, NodeFacts};
use super::keys::{self, Place};
use super::ports;
use super::process::{Process, tail};
use super::topology::{MemberPlan, NodePlan, Topology};
use crate::authority::{CatalogueFile, CentralAuthority, MembersSeal, publish_members};
use crate::{files, secret};

/// Longest wait for a process to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `up` is asked for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Directory of the network.
    pub dir: PathBuf,
    /// `embedded`, or the URL of a broker.
    pub backbone: String,
    /// `sqlite`, or the URL of a PostgreSQL server.
    pub store: String,
    /// What it is made of.
    pub topology: Topology,
}

/// What a network remembers. Used in stored state.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    backbone: String,
    store: String,
    tsa_port: u16,
    topology: Topology,
    namespace: Option<NodeId>,
}

const STATE: &str = "network.json";

/// Brings a network up; returns when all of it is ready.
///
/// # Errors
/// Naming the part that does not come up, with the end of its log.
pub async fn up(wishes: &Wishes, now: Timestamp) -> anyhow::Result<Description> {
    std::fs::create_dir_all(&wishes.dir)
        .with_context(|| format!("cannot make {}", wishes.dir.display()))?;
    let dir = wishes.dir.canonicalize()?;
    let mut description = if dir.join(STATE).exists() {
        Description::read(&dir)?
    } else {
        make(&dir, wishes, now).await?
    };
    let authority = &mut CentralAuthority::open(&dir.join("authority"))?;
    // Lists end after a month: whoever comes back later gets fresh ones.
    authority.publish(now)?;
    publish_all_members(&dir, &state(&dir)?.topology, now)?;
    start_all(&dir, &mut description).await?;
    Ok(description)
}

fn state(dir: &Path) -> anyhow::Result<State> {
    let bytes = files::read(&dir.join(STATE))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{STATE} is not one of ours"))
}

/// Makes everything that a new network needs. The state file comes last: a network that was not
/// made whole is made anew.
async fn make(dir: &Path, wishes: &Wishes, now: Timestamp) -> anyhow::Result<Description> {
    let topology = &wishes.topology;
    refuse_unsupported(topology)?;
    for part in ["authority", "tsa", "trust"] {
        let part = dir.join(part);
        if part.exists() {
            std::fs::remove_dir_all(&part)?;
        }
    }
    let mut authority =
        CentralAuthority::init(&dir.join("authority"), "Pli localnet", "http://pki.localnet", now)?;
    authority.enrol_tsa(&dir.join("tsa"), "Pli localnet TSA", now)?;
    files::directory(&dir.join("trust"))?;
    for anchor in ["root.pem", "tsa.pem"] {
        let pem = files::read(&dir.join("authority/trust").join(anchor))?;
        files::write_public(&dir.join("trust").join(anchor), &pem)?;
    }
    CatalogueFile { process: topology.process.clone() }.write(&dir.join("authority"))?;
    let mut found = ports::pick(topology.node.len() + 1)?.into_iter();
    let tsa_port = found.next().context("no port")?;
    let shared = wishes.backbone != "embedded";
    let state = State {
        backbone: wishes.backbone.clone(),
        store: wishes.store.clone(),
        tsa_port,
        topology: topology.clone(),
        namespace: if shared { Some(namespace()?) } else { None },
    };
    let mut nodes = Vec::new();
    for (plan, port) in topology.node.iter().zip(found) {
        nodes.push(make_node(dir, &mut authority, plan, port, &state, now).await?);
    }
    authority.publish(now)?;
    let description = Description {
        version: 1,
        trust: vec!["trust/root.pem".into(), "trust/tsa.pem".into()],
        tsa_url: format!("http://127.0.0.1:{tsa_port}/"),
        tsa_pid: None,
        nodes,
    };
    description.write(dir)?;
    files::write_private(&dir.join(STATE), &serde_json::to_vec_pretty(&state)?)?;
    Ok(description)
}

fn refuse_unsupported(topology: &Topology) -> anyhow::Result<()> {
    if topology.backbone.len() > 1 || topology.node.iter().any(|n| n.via.is_some()) {
        bail!("this version starts networks with one backbone; relays come with a later one");
    }
    if topology.node.iter().any(|n| n.replicas > 1) {
        bail!("this version starts one process per node; replicas come with a later one");
    }
    Ok(())
}

/// Eight random letters, the first of them no digit.
fn namespace() -> anyhow::Result<NodeId> {
    let bytes = secret::random::<7>()?;
    let letters = bytes.iter().map(|b| char::from(b'a' + b % 26));
    Ok(format!("n{}", letters.collect::<String>()).parse()?)
}

async fn make_node(
    dir: &Path,
    authority: &mut CentralAuthority,
    plan: &NodePlan,
    port: u16,
    state: &State,
    now: Timestamp,
) -> anyhow::Result<NodeFacts> {
    let home = dir.join(plan.id.as_str());
    files::directory(&home)?;
    keys::enrol(authority, plan, &home, now)?;
    let store = if state.store == "sqlite" {
        "sqlite://node.db".to_owned()
    } else {
        let database =
            format!("pli_{}_{}", database_suffix(dir), plan.id.as_str().replace('-', "_"));
        exchange_store::create_database(&state.store, &database).await?
    };
    let backbone = if state.backbone == "embedded" {
        "embedded://../backbone.db".to_owned()
    } else {
        state.backbone.clone()
    };
    let place = Place {
        port,
        backbone,
        namespace: state.namespace.clone(),
        store: store.clone(),
        tsa_url: format!("http://127.0.0.1:{}/", state.tsa_port),
    };
    let config = keys::config(&plan.id, &place);
    // It may hold the passwords of the broker and of the database.
    files::write_private(&home.join("node.toml"), toml::to_string(&config)?.as_bytes())?;
    let members = members(&home, plan, &state.topology).await?;
    Ok(NodeFacts {
        id: plan.id.clone(),
        url: config.node.public_url,
        pid: None,
        config: PathBuf::from(plan.id.as_str()).join("node.toml"),
        backbone: without_login(&state.backbone),
        store: if state.store == "sqlite" { "sqlite" } else { "postgres" }.to_owned(),
        replicas: Vec::new(),
        members,
    })
}

/// Networks of several directories share one server.
fn database_suffix(dir: &Path) -> String {
    let digest = signing::digest::sha256(dir.as_os_str().as_encoded_bytes());
    digest.to_string().chars().take(10).collect()
}

fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

/// Gives each member of a node a client of the interface.
async fn members(
    home: &Path,
    plan: &NodePlan,
    topology: &Topology,
) -> anyhow::Result<Vec<MemberFacts>> {
    let config = crate::config::Config::read(&home.join("node.toml"), std::iter::empty())?;
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
            processes: processes(member, topology),
            software: member.software,
        });
    }
    store.close().await;
    Ok(facts)
}

fn processes(member: &MemberPlan, topology: &Topology) -> Vec<schemas::ids::ProcessCode> {
    let all = || topology.process.iter().map(|p| p.code.clone()).collect();
    member.processes.clone().unwrap_or_else(all)
}

fn publish_all_members(dir: &Path, topology: &Topology, now: Timestamp) -> anyhow::Result<()> {
    let published = dir.join("authority/published");
    for plan in &topology.node {
        let keys = dir.join(plan.id.as_str()).join("keys");
        let entries = plan.member.iter().map(|member| MemberEntry {
            party: Party::siret(&member.siret),
            name: member.name.clone(),
            cog: member.cog.clone(),
            mandate_sha256: None,
            processes: processes(member, topology),
            standing: Standing::Active,
            successor: None,
        });
        let seal = MembersSeal {
            key: &keys.join("seal.key"),
            chain: &keys.join("seal.pem"),
            crls: &published,
        };
        publish_members(&published, &plan.id, entries.collect(), seal, now)?;
    }
    Ok(())
}

async fn start_all(dir: &Path, description: &mut Description) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find myself")?;
    let port = state(dir)?.tsa_port;
    let (tsa, crls) = (dir.join("tsa"), dir.join("authority/published/tsa"));
    let listen = format!("127.0.0.1:{port}");
    let args = ["tsa", "serve", "--dir", path(&tsa)?, "--crls", path(&crls)?, "--listen", &listen];
    description.tsa_pid = Some(ensure_running(&program, &args, &tsa)?.pid);
    let url = format!("http://{listen}/health/live");
    wait("the timestamp authority", &url, &tsa).await?;
    for node in &mut description.nodes {
        let home = dir.join(node.id.as_str());
        let config = home.join("node.toml");
        let args = ["node", "run", "--config", path(&config)?];
        node.pid = Some(ensure_running(&program, &args, &home)?.pid);
    }
    description.write(dir)?;
    for node in &description.nodes {
        let what = format!("node {}", node.id);
        wait(&what, &format!("{}/health/ready", node.url), &dir.join(node.id.as_str())).await?;
    }
    Ok(())
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The process of `home`: the one that runs, or a new one.
fn ensure_running(program: &Path, args: &[&str], home: &Path) -> anyhow::Result<Process> {
    let record = home.join("process.json");
    if let Some(process) = Process::recall(&record).filter(Process::is_alive) {
        return Ok(process);
    }
    let (process, _child) = Process::start(program, args, &home.join("log"))?;
    process.record(&record)?;
    Ok(process)
}

async fn wait(what: &str, url: &str, home: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let process = Process::recall(&home.join("process.json"));
    loop {
        let answer = reqwest::get(url).await;
        if answer.is_ok_and(|a| a.status().is_success()) {
            return Ok(());
        }
        let alive = process.as_ref().is_some_and(Process::is_alive);
        if !alive || Instant::now() > end {
            let why = if alive { "is not ready" } else { "died" };
            bail!("{what} {why}; the end of its log:\n{}", tail(&home.join("log"), 12));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A process of the network: its name, and its pid when it is alive.
pub type ProcessStanding = (String, Option<i32>);

/// Where each process stands.
///
/// # Errors
/// There is no network.
pub fn status(dir: &Path) -> anyhow::Result<(Description, Vec<ProcessStanding>)> {
    let mut description = Description::read(dir)?;
    let alive = |name: &str| {
        let process = Process::recall(&dir.join(name).join("process.json"));
        process.filter(Process::is_alive).map(|p| p.pid)
    };
    let mut all = vec![("tsa".to_owned(), alive("tsa"))];
    description.tsa_pid = alive("tsa");
    for node in &mut description.nodes {
        node.pid = alive(node.id.as_str());
        all.push((node.id.to_string(), node.pid));
    }
    Ok((description, all))
}

/// `kill -9` of a node, or of `tsa`.
///
/// # Errors
/// There is no such process.
pub fn kill(dir: &Path, name: &str) -> anyhow::Result<()> {
    let (mut description, all) = status(dir)?;
    ensure!(all.iter().any(|(n, _)| n == name), "there is no {name} in this network");
    if let Some(process) = Process::recall(&dir.join(name).join("process.json")) {
        process.kill()?;
    }
    for node in description.nodes.iter_mut().filter(|n| n.id.as_str() == name) {
        node.pid = None;
    }
    description.write(dir)
}

/// Stops everything, nodes first, and keeps the data; with `purge` removes it.
///
/// # Errors
/// There is no network, or something does not stop.
pub fn down(dir: &Path, purge: bool) -> anyhow::Result<()> {
    let (mut description, all) = status(dir)?;
    let processes: Vec<Process> = all
        .iter()
        .rev()
        .filter_map(|(name, _)| Process::recall(&dir.join(name).join("process.json")))
        .collect();
    for process in &processes {
        process.ask_to_stop()?;
    }
    for process in &processes {
        if !process.gone_within(Duration::from_secs(15)) {
            process.kill()?;
        }
    }
    description.tsa_pid = None;
    for node in &mut description.nodes {
        node.pid = None;
    }
    description.write(dir)?;
    if purge {
        ensure!(dir.join(STATE).exists(), "{} is no network", dir.display());
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}
