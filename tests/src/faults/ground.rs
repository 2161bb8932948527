//! The network, its services and proxies: what faults happen to, and how each is healed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use schemas::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::hostile::Hostile;
use super::proxy::{Mode, Proxy};
use super::schedule::{Event, Fault, Shared, Targets};
use crate::net::{Net, text_at};
use crate::services::Service;

/// How long healing may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the ground is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `embedded`, `amqp` or `kafka`, for each backbone of the topology; the last one for the rest.
    pub roads: Vec<String>,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Name of a file in `ops/topologies`.
    pub topology: String,
}

impl FromStr for Plan {
    type Err = anyhow::Error;

    /// `ROAD[+ROAD]/STORE/TOPOLOGY`, such as `kafka+amqp/postgres/chained`.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let [roads, store, topology] = parts.as_slice() else {
            bail!("{text}: write ROAD/STORE/TOPOLOGY, such as amqp/postgres/default");
        };
        let roads: Vec<String> = roads.split('+').map(str::to_owned).collect();
        for road in &roads {
            ensure!(["embedded", "amqp", "kafka"].contains(&road.as_str()), "no road {road}");
        }
        ensure!(["sqlite", "postgres"].contains(store), "no store {store}");
        Ok(Self { roads, store: (*store).to_owned(), topology: (*topology).to_owned() })
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.roads.join("+"), self.store, self.topology)
    }
}

/// Services that run already, by their URLs, and that a campaign leaves alone.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// RabbitMQ.
    pub amqp: Option<String>,
    /// Kafka.
    pub kafka: Option<String>,
    /// PostgreSQL.
    pub postgres: Option<String>,
}

impl Given {
    /// Those that `ops/test` has started: `PLI_TEST_AMQP`, `PLI_TEST_KAFKA`, `PLI_TEST_PG`.
    #[must_use]
    pub fn by_environment() -> Self {
        let said = |name| std::env::var(name).ok();
        Self {
            amqp: said("PLI_TEST_AMQP"),
            kafka: said("PLI_TEST_KAFKA"),
            postgres: said("PLI_TEST_PG"),
        }
    }
}

/// A service, and the proxy before it.
#[derive(Debug)]
struct Behind {
    service: Arc<Service>,
    proxy: Proxy,
}

/// The ground of one campaign.
#[derive(Debug)]
pub struct Ground {
    net: Arc<Net>,
    options: Arc<Vec<String>>,
    services: Vec<(Shared, Behind)>,
    hostile: BTreeMap<String, Hostile>,
    /// Frames that a hostile reader has kept for itself.
    lost: usize,
    /// One call of `up` at a time.
    starting: Arc<Mutex<()>>,
    _files: TempDir,
}

impl Ground {
    /// Starts everything but what is given.
    ///
    /// # Errors
    /// A service is not installed, or something does not come up.
    pub async fn lay(plan: &Plan, given: &Given) -> Result<Self> {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../ops/topologies")
            .join(format!("{}.toml", plan.topology));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let names: Vec<&str> =
            text.split("[[backbone]]").skip(1).filter_map(|part| part.split('"').nth(1)).collect();
        let mut services = Vec::new();
        let mut options = vec!["--topology".to_owned(), file.display().to_string()];
        for (n, name) in names.iter().enumerate() {
            let kind =
                plan.roads.get(n).or_else(|| plan.roads.last()).context("a road is needed")?;
            let url = match (kind.as_str(), &given.amqp, &given.kafka) {
                ("amqp", Some(url), _) | ("kafka", _, Some(url)) => url.clone(),
                ("amqp", ..) => start("rabbitmq", Shared::Broker(n), &mut services).await?,
                ("kafka", ..) => start("kafka", Shared::Broker(n), &mut services).await?,
                _ => "embedded".to_owned(),
            };
            let named = if names.len() > 1 { format!("{name}={url}") } else { url };
            options.extend(["--backbone".to_owned(), named]);
        }
        if plan.store == "postgres" {
            let url = match &given.postgres {
                Some(url) => url.clone(),
                None => start("postgres", Shared::Database, &mut services).await?,
            };
            options.extend(["--store".to_owned(), url]);
        }
        let options = Arc::new(options);
        let given = Arc::clone(&options);
        let net = spawn_blocking(move || {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            Net::up_with(&given)
        });
        Ok(Self {
            net: Arc::new(net.await??),
            options,
            services,
            hostile: BTreeMap::new(),
            lost: 0,
            starting: Arc::default(),
            _files: tempfile::tempdir()?,
        })
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// What may go wrong here.
    #[must_use]
    pub fn targets(&self) -> Targets {
        let description = self.net.description().unwrap_or_default();
        let mut targets = Targets { processes: vec!["tsa".to_owned()], ..Targets::default() };
        for node in description["nodes"].as_array().into_iter().flatten() {
            let id = text_at(node, "/id");
            let more = node["replicas"].as_array().map_or(0, Vec::len);
            targets.processes.extend((1..=1 + more).map(|n| format!("{id}.{n}")));
            targets.lanes.push(id);
        }
        for (shared, _) in &self.services {
            targets.services.push(*shared);
            targets.links.push(*shared);
        }
        targets
    }

    /// Lets a fault begin or end. What cannot be done now, such as to kill what is not running, is
    /// no error: the end of the campaign heals everything.
    pub async fn play(&mut self, event: &Event) {
        match &event.fault {
            Fault::Kill(process) if event.begins => self.signal(process, "-KILL"),
            Fault::Kill(_) => self.start_soon(),
            Fault::Freeze(process) => {
                self.signal(process, if event.begins { "-STOP" } else { "-CONT" });
            }
            Fault::KillService(shared) if event.begins => {
                self.serve(*shared, true, Service::kill).await;
            }
            // A broker takes its time to start, and the next fault does not wait for it.
            Fault::KillService(shared) => self.serve(*shared, false, Service::restart).await,
            Fault::FreezeService(shared) if event.begins => {
                self.serve(*shared, true, Service::pause).await;
            }
            Fault::FreezeService(shared) => self.serve(*shared, true, Service::resume).await,
            Fault::LoseRequests(link) => self.link(*link, event.begins, Mode::LoseRequests),
            Fault::LoseAnswers(link) => self.link(*link, event.begins, Mode::LoseAnswers),
            Fault::Cut(link) => self.link(*link, event.begins, Mode::Cut),
            Fault::Silence(link) => self.link(*link, event.begins, Mode::Silence),
            Fault::Delay(link, by) => self.link(*link, event.begins, Mode::Delay(*by)),
            Fault::Hostile(node, seed) if event.begins => {
                let config = self.net.dir().join(node).join("node.toml");
                self.hostile.insert(node.clone(), Hostile::begin(config, *seed));
            }
            Fault::Hostile(node, _) => {
                if let Some(hostile) = self.hostile.remove(node) {
                    self.lost += hostile.end().await;
                }
            }
        }
    }

    /// Ends every fault, and waits until everything runs.
    ///
    /// # Errors
    /// It does not within some minutes.
    pub async fn heal(&mut self) -> Result<()> {
        for (_, hostile) in std::mem::take(&mut self.hostile) {
            self.lost += hostile.end().await;
        }
        for process in self.targets().processes {
            self.signal(&process, "-CONT");
        }
        for (_, behind) in &self.services {
            behind.proxy.set(Mode::Pass);
            let service = Arc::clone(&behind.service);
            spawn_blocking(move || {
                // Where it is not frozen there is nothing to do, and where it does not run either.
                drop(service.resume());
                service.restart()
            })
            .await??;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self.up().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(error.context("never healed")),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Has every node send again what it has sent since `from`, if frames were lost, as its operator
    /// does who is told of it; returns how many were.
    ///
    /// # Errors
    /// A node does not take the order.
    pub fn send_again(&self, from: Timestamp) -> Result<usize> {
        for node in self.targets().lanes.iter().filter(|_| self.lost > 0) {
            let from = from.to_string();
            let act = ["queue", "redrive", "--from", &from, "--reason", "frames were lost"];
            let output = self.net.operate(node, &act)?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(self.lost)
    }

    async fn up(&self) -> Result<()> {
        let _one = self.starting.lock().await;
        let (net, options) = (Arc::clone(&self.net), Arc::clone(&self.options));
        spawn_blocking(move || {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            net.start(&options)
        })
        .await?
    }

    /// Starts what is not running, and does not wait for it. Whoever comes while another call is
    /// under way waits for its turn there.
    fn start_soon(&self) {
        let (net, options) = (Arc::clone(&self.net), Arc::clone(&self.options));
        let starting = Arc::clone(&self.starting);
        tokio::spawn(async move {
            let _one = starting.lock().await;
            let begun = spawn_blocking(move || {
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                // While a dependency is away it does not become ready: healing tries again.
                drop(net.start(&options));
            });
            drop(begun.await);
        });
    }

    /// Starts what has ended, unless that is under way.
    pub fn supervise(&self) {
        if self.starting.try_lock().is_ok() {
            self.start_soon();
        }
    }

    fn signal(&self, process: &str, signal: &str) {
        let pid = self.net.description().ok().and_then(|d| pid_of(&d, process));
        if let Some(pid) = pid {
            // A process that is gone cannot be killed: so be it.
            drop(Command::new("kill").args([signal, &pid.to_string()]).output());
        }
    }

    /// Has the script of a service do something, and waits for its end or not.
    async fn serve(&self, shared: Shared, wait: bool, what: fn(&Service) -> std::io::Result<()>) {
        let service = self.services.iter().find(|(s, _)| *s == shared);
        if let Some((_, behind)) = service {
            let service = Arc::clone(&behind.service);
            let done = spawn_blocking(move || what(&service));
            if wait {
                drop(done.await);
            }
        }
    }

    fn link(&self, shared: Shared, begins: bool, mode: Mode) {
        let behind = self.services.iter().find(|(s, _)| *s == shared).map(|(_, b)| b);
        if let Some(behind) = behind {
            behind.proxy.set(if begins { mode } else { Mode::Pass });
        }
    }
}

/// A service and the proxy before it; the URL leads to the proxy.
async fn start(
    name: &'static str,
    shared: Shared,
    services: &mut Vec<(Shared, Behind)>,
) -> Result<String> {
    let port = Proxy::port().await?;
    let at = port.local_addr()?;
    let service = spawn_blocking(move || {
        let advertised = at.port().to_string();
        // A Kafka client goes where the broker says that it is.
        let options: &[&str] = if name == "kafka" { &["--advertise", &advertised] } else { &[] };
        Service::start_with(name, options)
    });
    let service = service.await?.context(name)?;
    let host = service.url.rsplit_once('@').map_or(service.url.as_str(), |(_, host)| host);
    let host = host.rsplit_once("//").map_or(host, |(_, host)| host);
    let host = host.split('/').next().unwrap_or(host).to_owned();
    let url = service.url.replace(&host, &at.to_string());
    let proxy = Proxy::at(port, &host)?;
    services.push((shared, Behind { service: Arc::new(service), proxy }));
    Ok(url)
}

/// The pid of `tsa`, `NODE.1`, `NODE.2`, as the description has it.
fn pid_of(description: &Value, process: &str) -> Option<i64> {
    if process == "tsa" {
        return description["tsa_pid"].as_i64();
    }
    let (node, number) = process.rsplit_once('.')?;
    let node = description["nodes"].as_array()?.iter().find(|n| n["id"] == node)?;
    match number.parse::<usize>().ok()? {
        1 => node["pid"].as_i64(),
        n => node["replicas"].get(n.checked_sub(2)?)?["pid"].as_i64(),
    }
}
