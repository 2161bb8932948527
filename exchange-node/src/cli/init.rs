//! `pli node init`: keys, certification requests and a commented configuration for a new node.

use std::path::{Path, PathBuf};

use clap::Args;
use schemas::ids::NodeId;
use serde_json::json;
use signing::authority::Subject;
use signing::request;
use signing::signer::Algorithm;
use signing::software::SoftwareKey;

use super::{Call, Failure, Text, text};
use crate::{files, secret};

/// `pli node init`
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Id of the node, a DNS label
    #[arg(long)]
    id: NodeId,
    /// Where to make it
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: String,
    /// URL under which members reach it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8443")]
    public_url: String,
    /// sqlite://FILE or postgres://...
    #[arg(long, value_name = "URL", default_value = "sqlite://data/node.db")]
    store: String,
    /// amqp://..., kafka://... or embedded://FILE
    #[arg(long, value_name = "URL", default_value = "embedded://data/backbone.db")]
    backbone: String,
    /// Timestamp authority (RFC 3161)
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3161/")]
    tsa: String,
}

const THERE: Text = text("{0} is there already", "{0} existe déjà");
const MADE: Text = text(
    "{0} is made. Next:\n\
     1. give {1} and {2} to the central authority (`pli authority enrol {3} ...`);\n\
     2. put what it returns at keys/seal.pem and keys/encryption.pem, its anchors into trust/,\n   \
     its published lists into directory/;\n\
     3. `pli config check`, then `pli node doctor`, then `pli node run`.",
    "{0} est créé. Ensuite :\n\
     1. remettez {1} et {2} à l'autorité centrale (`pli authority enrol {3} ...`) ;\n\
     2. placez ce qu'elle rend dans keys/seal.pem et keys/encryption.pem, ses ancres dans trust/,\n   \
     ses listes publiées dans directory/ ;\n\
     3. `pli config check`, puis `pli node doctor`, puis `pli node run`.",
);

pub(super) fn run(args: &InitArgs, call: &Call) -> anyhow::Result<()> {
    let file = args.dir.join("node.toml");
    let keys = args.dir.join("keys");
    for there in [&file, &keys] {
        if there.exists() {
            return Err(Failure::usage(THERE.fill(call.screen.lang, &[&there.display()])));
        }
    }
    for part in ["keys", "trust", "directory", "data"] {
        files::directory(&args.dir.join(part))?;
    }
    let [seal, encryption] = ["seal", "encryption"].map(|name| key(&keys, name, &args.id));
    let (seal, encryption) = (seal?, encryption?);
    files::write_private(&keys.join("storage.key"), &secret::random::<32>()?)?;
    // URLs may hold passwords.
    files::write_private(&file, configuration(args).as_bytes())?;
    if call.screen.json {
        return call.screen.object(&json!({
            "node": args.id, "config": file,
            "requests": { "seal": seal, "encryption": encryption },
        }));
    }
    call.screen.tell(MADE, &[&file.display(), &seal.display(), &encryption.display(), &args.id]);
    Ok(())
}

/// Makes a private key and the request that shows it; returns the request's path.
fn key(dir: &Path, name: &str, id: &NodeId) -> anyhow::Result<PathBuf> {
    let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256)?;
    files::write_private(&dir.join(format!("{name}.key")), key.to_pkcs8_pem()?.as_bytes())?;
    let file = dir.join(format!("{name}.csr"));
    let pem = request::write(&key, &Subject::named(id.as_str()))?;
    files::write_public(&file, pem.as_bytes())?;
    Ok(file)
}

/// The file, with what an operator needs to know beside each key.
fn configuration(args: &InitArgs) -> String {
    [who_and_where(args), keys_and_trust(args), limits_and_logs(&args.id)].join("\n")
}

fn who_and_where(args: &InitArgs) -> String {
    let InitArgs { id, .. } = args;
    let [listen, public_url, store, backbone] =
        [&args.listen, &args.public_url, &args.store, &args.backbone].map(|text| quoted(text));
    format!(
        r#"# Configuration of the Pli node {id}. Unknown keys are refused; paths are relative to this file.
# PLI__SECTION__KEY overrides a key. A URL may be "file:PATH" or "credential:NAME" (systemd), to
# keep its password out of this file.

[node]
id = "{id}"
listen = {listen}            # address and port; put a TLS proxy before it
public_url = {public_url}    # how members reach it
# instance = "{id}-1"        # when several processes share one database: different for each

[store]
url = {store}                # sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE

[content]
dir = "data/content"         # documents, encrypted; replicas share it

[backbone]
url = {backbone}             # amqp://USER:PASSWORD@HOST/VHOST, kafka://HOST:PORT, embedded://FILE
# ca_file = "broker/ca.pem"  # the broker's authority, instead of those of the system; TLS
# certificate = "broker/certificate.pem" # by which the broker knows this node, with its key
# key = "broker/key.pem"
# namespace = "test"         # apart from other networks on the same broker
# replication = 3            # copies of each lane; the broker's default when absent
# min_in_sync = 2            # Kafka: copies that must have a frame before it counts as sent
# partitions = 3             # Kafka: parts of each lane when it is made; as many processes share it
# max_bytes = 1048576        # Kafka: largest batch of records that a lane takes; at least this
retention_hours = 168        # how long lanes keep frames for a node that is away
"#
    )
}

fn keys_and_trust(args: &InitArgs) -> String {
    let tsa = quoted(&args.tsa);
    format!(
        r#"[keys]
seal_key = "keys/seal.key"   # PKCS#8 PEM; never leaves this machine
seal_chain = "keys/seal.pem" # from the central authority, leaf first
encryption_key = "keys/encryption.key"
encryption_certificate = "keys/encryption.pem"
storage_key = "keys/storage.key" # 32 octets that wrap document keys at rest: back it up
crls = "directory"           # *.crl of the central authority, read again when they change

[trust]
anchors = ["trust/root.pem"]
tsa_anchors = ["trust/tsa.pem"]

[directory]
dir = "directory"            # root.p7m, catalogue.p7m, members-*.p7m; followed when they change
poll_ms = 1000

[tsa]
urls = [{tsa}]               # tried in order
interval_ms = 1000           # longest wait for a round of anchoring
max_batch = 100000           # most evidence under one token
"#
    )
}

fn limits_and_logs(id: &NodeId) -> String {
    format!(
        r#"[limits]
max_unanchored_age_s = 14400 # older unanchored evidence: submissions are refused
inbox_visibility_s = 60      # an unacknowledged inbox item comes back after this
token_s = 3600
upload_s = 86400
max_message_size = 8589934592
queue = 4096                 # requests that may wait before 503 is answered

[limits.quota]               # of each member, by day (UTC); 0: no limit
messages_per_day = 0
bytes_per_day = 0
# [limits.quota.members."12345678200010"]   # of one member, by SIRET
# messages_per_day = 100000

[limits.space]               # what may wait for each member; 0: no limit
items = 100000
bytes = 1099511627776
# [limits.space.members."12345678200010"]   # for one member, by SIRET
# items = 500000

[log]
filter = "info"
format = "text"              # or json

# [telemetry]                # traces of messages, over all nodes; none without a collector
# otlp_url = "http://127.0.0.1:4318"   # OpenTelemetry, OTLP over HTTP
# sample_ratio = 1.0         # share of traces that is recorded, the same at all nodes
# service_name = "pli-{id}"
"#
    )
}

/// As TOML writes a text.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, LimitsSection};

    #[test]
    fn the_commented_file_is_the_default_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let args = InitArgs {
            id: "cd-34".parse().unwrap(),
            dir: dir.path().to_owned(),
            listen: "127.0.0.1:1".to_owned(),
            public_url: "https://pli.herault.example".to_owned(),
            store: "postgres://u:p\"w@h/d".to_owned(),
            backbone: "kafka://h:9092".to_owned(),
            tsa: "http://tsa.example/".to_owned(),
        };
        let file = dir.path().join("node.toml");
        std::fs::write(&file, configuration(&args)).unwrap();
        let config = Config::read(&file, std::iter::empty()).unwrap();
        assert_eq!(config.store.url, "postgres://u:p\"w@h/d");
        assert_eq!(config.tsa.urls, ["http://tsa.example/"]);
        let limits = format!("{:?}", LimitsSection::default());
        assert_eq!(format!("{:?}", config.limits), limits, "the file says the defaults");
        // What is commented out can be put in, and is what its comment says.
        let text = configuration(&args);
        let names = ["replication", "min_in_sync", "partitions", "max_bytes"];
        let text = names.iter().fold(text, |text, name| {
            text.replacen(&format!("\n# {name} = "), &format!("\n{name} = "), 1)
        });
        std::fs::write(&file, text).unwrap();
        let config = Config::read(&file, std::iter::empty()).unwrap();
        let lane = config.backbone.all().next().unwrap();
        assert_eq!((lane.replication, lane.min_in_sync), (Some(3), Some(2)));
        assert_eq!(lane.partitions, Some(broker_adapter::PARTITIONS));
        assert_eq!(lane.max_bytes, Some(broker_adapter::MIN_MAX_BYTES));
    }
}
