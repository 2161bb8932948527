//! What all schedules share: keys, certificates, signed lists, and an empty archive to copy.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use exchange_node::authority::{CatalogueFile, CentralAuthority, Enrolment};
use exchange_node::config::{BackboneSection, Backbones, Config};
use exchange_node::localnet::ground::publish_members;
use exchange_node::localnet::keys::{self, Place};
use exchange_node::localnet::topology::{NodePlan, Topology};
use exchange_node::{files, keys as node_keys};
use schemas::time::Timestamp;
use signing::seal::Sealer;
use signing::software::SoftwareKey;
use signing::trust::pem_certificates;
use signing::tsa::Tsa;

/// Here all clocks begin: a Monday, 8:00.
pub const T0: Timestamp = Timestamp::from_millis(1_767_600_000_000);
/// Keys are a little older.
const BORN: Timestamp = Timestamp::from_millis(1_767_600_000_000 - schemas::time::HOUR);
/// Revocation lists last for two weeks (`signing::authority::CRL_LIFE`), schedules for less.
pub const END: Timestamp = Timestamp::from_millis(1_767_600_000_000 + 12 * schemas::time::DAY);

const POLICY: &str = "1.3.6.1.4.1.32473.1.3";

/// A runtime that no schedule simulates: the archives' threads live there, in real time.
pub static ASIDE: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});

/// Waits for a future that lives in real time. For the simulation no time passes meanwhile, and
/// nothing else happens. Unconstrained, since a future that has used up the budget of its task waits
/// for the simulation to go on, which waits for it.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    let _context = ASIDE.enter();
    futures::executor::block_on(tokio::task::unconstrained(future))
}

/// The ground of the process.
pub struct Ground {
    dir: tempfile::TempDir,
    /// Nodes, members, démarches.
    pub topology: Topology,
    /// The time-stamp authority.
    pub tsa: Tsa,
    /// Seals with a key that an authority of the same names has certified, which nobody trusts.
    pub stranger: Arc<Sealer>,
    empty: PathBuf,
}

/// Made once.
pub static GROUND: LazyLock<Ground> = LazyLock::new(Ground::make);

impl Ground {
    fn make() -> Self {
        let place = place();
        clean(&place);
        let name = format!("{NAME}{}-", std::process::id());
        let dir = tempfile::Builder::new().prefix(&name).tempdir_in(place).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
        let topology = Topology::read(&file).unwrap();
        let root = dir.path().join("true");
        let mut authority = authority(&root, &topology);
        for plan in &topology.node {
            let home = root.join(plan.id.as_str());
            keys::enrol(&mut authority, plan, &home, BORN).unwrap();
            let place = Place {
                port: 1,
                backbone: roads(plan),
                instance: None,
                store: "sqlite://node.db".to_owned(),
                tsa_url: "http://127.0.0.1:1/".to_owned(),
            };
            let mut config = keys::config(&plan.id, &place);
            config.directory.poll_ms = 3_600_000;
            config.tsa.interval_ms = 3_000;
            std::fs::write(home.join("node.toml"), toml::to_string(&config).unwrap()).unwrap();
        }
        authority.publish(BORN).unwrap();
        publish_members(&root, &topology, BORN).unwrap();
        let empty = dir.path().join("empty.db");
        at_once(async {
            let store = exchange_store::open(empty.to_str().unwrap()).await.unwrap();
            store.close().await;
        });
        let tsa = tsa(&root);
        let stranger = Arc::new(stranger(&dir.path().join("false"), &topology));
        Self { topology, tsa, stranger, empty, dir }
    }

    /// The configuration of a node whose data lie in `home`.
    pub fn config(&self, node: &NodePlan, home: &Path) -> Config {
        let file = self.dir.path().join("true").join(node.id.as_str()).join("node.toml");
        let mut config = Config::read(&file, std::iter::empty()).unwrap();
        config.content.dir = home.join("content");
        config
    }

    /// A directory of a schedule.
    pub fn home(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.dir.path()).unwrap()
    }

    /// An empty archive in `home`.
    pub fn archive(&self, home: &Path) -> Arc<dyn exchange_store::Store> {
        let file = home.join("node.db");
        std::fs::copy(&self.empty, &file).unwrap();
        at_once(exchange_store::open(file.to_str().unwrap())).unwrap()
    }
}

/// Directories of this process begin so, with its pid after it.
const NAME: &str = "pli-fate-";

/// Removes what processes that are gone have left: what is made once is dropped by nobody.
fn clean(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Where the user says, or in memory where the machine has a place for that: flushing costs
/// nothing there.
fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let said = std::env::var_os("TMPDIR").map(PathBuf::from);
    said.unwrap_or_else(|| if memory.is_dir() { memory } else { std::env::temp_dir() })
}

fn authority(root: &Path, topology: &Topology) -> CentralAuthority {
    let home = root.join("authority");
    let mut it = CentralAuthority::init(&home, "Fate", "http://pki.fate", BORN).unwrap();
    it.enrol_tsa(&root.join("tsa"), "Fate TSA", BORN).unwrap();
    files::directory(&root.join("trust")).unwrap();
    for anchor in ["root.pem", "tsa.pem"] {
        std::fs::copy(home.join("trust").join(anchor), root.join("trust").join(anchor)).unwrap();
    }
    CatalogueFile { process: topology.process.clone() }.write(&home).unwrap();
    it
}

fn roads(plan: &NodePlan) -> Backbones {
    let section = |name: &String| BackboneSection {
        name: Some(name.clone()),
        url: "embedded://unused".to_owned(),
        namespace: None,
        replication: None,
        min_in_sync: None,
        partitions: None,
        max_bytes: None,
        ca_file: None,
        certificate: None,
        key: None,
        retention_hours: 1,
    };
    Backbones::new(plan.backbones.iter().map(section).collect()).unwrap()
}

fn tsa(root: &Path) -> Tsa {
    let key = std::fs::read(root.join("tsa/tsa.key")).unwrap();
    let chain = pem_certificates(&std::fs::read(root.join("tsa/tsa.pem")).unwrap()).unwrap();
    let crls = node_keys::crls(&root.join("authority/published/tsa")).unwrap();
    let signer = Arc::new(SoftwareKey::from_pkcs8_pem(&key).unwrap());
    Tsa::new(signer, &chain, &crls, POLICY.parse().unwrap()).unwrap()
}

/// The same names, other keys.
fn stranger(root: &Path, topology: &Topology) -> Sealer {
    let mut authority = authority(root, topology);
    let plan = &topology.node[0];
    let key = SoftwareKey::generate(signing::signer::Algorithm::EcdsaP256Sha256).unwrap();
    let spki = signing::signer::Signer::public_key_der(&key).to_vec();
    let asked = Enrolment {
        node: plan.id.clone(),
        operator: plan.operator.clone(),
        siren: None,
        seal_spki: spki.clone(),
        encryption_spki: spki,
        backbones: plan.backbones.clone(),
        via: None,
        scope: plan.scope.clone(),
    };
    let issued = authority.enrol(&asked, BORN).unwrap();
    authority.publish(BORN).unwrap();
    let chain = pem_certificates(issued.seal_chain.as_bytes()).unwrap();
    let crls = node_keys::crls(&root.join("authority/published")).unwrap();
    Sealer::new(Arc::new(key), chain, crls).unwrap()
}
