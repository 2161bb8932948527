//! Brokers for tests, by way of `ops/services`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use broker_adapter::conformance::{Accounts, Broker};
use broker_adapter::{Identity, Options};
use schemas::ids::NodeId;

/// A broker that a test started in a directory of its own, and that ends with it.
#[derive(Debug)]
pub(crate) struct Service {
    script: PathBuf,
    directory: tempfile::TempDir,
    /// A file system of its own is mounted there.
    mounted: bool,
}

/// The URL of a broker that is there for all tests, or of one that is started for this one alone.
pub(crate) fn find(name: &str, variable: &str) -> Option<(String, Option<Arc<Service>>)> {
    if let Ok(url) = std::env::var(variable) {
        return Some((url, None));
    }
    let service = Service::start(name, &[])?;
    Some((service.run("url", &[]).ok()?, Some(service)))
}

impl Service {
    /// Starts a broker with further options; says so when that cannot be done.
    pub(crate) fn start(name: &str, options: &[&str]) -> Option<Arc<Self>> {
        Self::new(name)?.started(name, options)
    }

    /// Starts one with a small disk of its own, in memory; says so when that cannot be had.
    pub(crate) fn start_on_a_disk_of(name: &str, size: u64) -> Option<Arc<Self>> {
        let mut service = Self::new(name)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        match mount.arg(service.directory()).output() {
            Ok(output) if output.status.success() => service.mounted = true,
            said => {
                eprintln!(
                    "skipped: {name} on a full disk: no file system can be mounted: {said:?}"
                );
                return None;
            }
        }
        service.started(name, &[])
    }

    fn new(name: &str) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/services").join(name);
        Some(Self { script, directory: tempfile::tempdir().ok()?, mounted: false })
    }

    fn started(self, name: &str, options: &[&str]) -> Option<Arc<Self>> {
        match self.run("start", options) {
            Ok(_) => Some(Arc::new(self)),
            Err(why) => {
                let why = why.to_string().replace('\n', " ");
                eprintln!("skipped: {name}: ops/services/{name} start: {why}");
                None
            }
        }
    }

    /// Runs a verb, and returns what it prints.
    pub(crate) fn run(&self, verb: &str, arguments: &[&str]) -> io::Result<String> {
        let mut command = Command::new(&self.script);
        command.arg(verb).arg("--dir").arg(self.directory.path()).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{verb}: {}: {said}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Where it lives.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A client certificate from the authority in `pki`, which is made when it is not there; for a
    /// node that is not admitted.
    pub(crate) fn identity(&self, pki: &Path, node: &NodeId) -> Identity {
        let place = self.directory().join("strangers");
        let place = place.join(pki.file_name().unwrap());
        let script = r#"set -eu; . "$0"; test_pki "$1"; issue_node "$1" "$2" "$3""#;
        let status = Command::new("bash")
            .args(["-c", script])
            .args([&self.script.with_file_name("lib.sh"), pki])
            .arg(node.as_str())
            .arg(&place)
            .env("NAME", "test")
            .status();
        assert!(status.unwrap().success());
        let place = place.join(node.as_str());
        Identity { certificate: place.join("certificate.pem"), key: place.join("key.pem") }
    }

    /// The certificate authority of its TLS listener.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("pki/ca.pem")
    }
}

/// The nodes of a broker that was started with `--secure`: each has a certificate.
#[derive(Debug)]
pub(crate) struct Nodes {
    service: Arc<Service>,
    /// Admitted beforehand, where a permission makes no lane and takes long to give.
    known: Mutex<Vec<NodeId>>,
}

impl Nodes {
    pub(crate) fn new(service: Arc<Service>, beforehand: usize) -> Self {
        let known: Vec<NodeId> = (0..beforehand).map(|_| node()).collect();
        let nodes = Self { service, known: Mutex::default() };
        nodes.grant(&known).unwrap();
        *nodes.known.lock().unwrap() = known;
        nodes
    }

    /// Runs `grant`; what it prints.
    pub(crate) fn grant(&self, nodes: &[NodeId]) -> io::Result<String> {
        let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        if names.is_empty() {
            return Ok(String::new());
        }
        self.service.run("grant", &names)
    }

    /// The options that go with a node's certificate.
    pub(crate) fn options(&self, node: &NodeId) -> Options {
        let place = self.service.directory.path().join("nodes").join(node.as_str());
        Options {
            node: Some(node.clone()),
            ca_file: Some(self.service.ca_file()),
            identity: Some(Identity {
                certificate: place.join("certificate.pem"),
                key: place.join("key.pem"),
            }),
            ..Options::default()
        }
    }
}

impl Accounts for Nodes {
    fn newcomer(&self) -> io::Result<NodeId> {
        Ok(self.known.lock().unwrap().pop().unwrap_or_else(node))
    }

    fn admit(&self, node: &NodeId, options: &mut Options) -> io::Result<()> {
        let own = self.options(node);
        if !own.identity.as_ref().is_some_and(|identity| identity.key.exists()) {
            self.grant(std::slice::from_ref(node))?;
        }
        (options.ca_file, options.identity) = (own.ca_file, own.identity);
        Ok(())
    }
}

/// A name that nobody has used.
pub(crate) fn node() -> NodeId {
    format!("n-{}", uuid::Uuid::new_v4().simple()).parse().unwrap()
}

/// The same broker, to be killed.
#[derive(Debug)]
pub(crate) struct Mortal(pub(crate) Arc<Service>);

impl Broker for Mortal {
    fn kill(&self) -> io::Result<()> {
        self.0.run("kill", &[]).map(|_| ())
    }

    fn start(&self) -> io::Result<()> {
        self.0.run("start", &[]).map(|_| ())
    }

    fn stop(&self) -> io::Result<()> {
        self.0.run("stop", &[]).map(|_| ())
    }

    fn pause(&self) -> io::Result<()> {
        self.0.run("pause", &[]).map(|_| ())
    }

    fn resume(&self) -> io::Result<()> {
        self.0.run("resume", &[]).map(|_| ())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.run("kill", &[]);
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(self.directory()).output();
        }
    }
}
