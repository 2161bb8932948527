//! Configuration: one TOML file, environment overrides, unknown keys refused.
//!
//! `PLI__STORE__URL=postgres://...` overrides `store.url`; a value `file:PATH` or
//! `credential:NAME` (systemd) is read from there, so that secrets stay out of the file.
//! Paths are relative to the directory of the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemas::ids::NodeId;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this node is and where it listens.
    pub node: NodeSection,
    /// Database.
    pub store: StoreSection,
    /// Documents.
    pub content: ContentSection,
    /// Roads: `[backbone]`, or one `[[backbone]]` with a name for each.
    pub backbone: Backbones,
    /// Keys and certificates.
    pub keys: KeysSection,
    /// Anchors of trust.
    pub trust: TrustSection,
    /// Signed lists.
    pub directory: DirectorySection,
    /// Timestamp authorities.
    pub tsa: TsaSection,
    /// Limits; each has a default.
    #[serde(default)]
    pub limits: LimitsSection,
    /// Logs.
    #[serde(default)]
    pub log: LogSection,
    /// Traces; none unless a collector is named.
    #[serde(default, skip_serializing_if = "TelemetrySection::is_off")]
    pub telemetry: TelemetrySection,
}

/// `[node]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Node id.
    pub id: NodeId,
    /// Tells the replicas of a node apart: the same after a restart, different for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Address to listen on, such as `127.0.0.1:8443`.
    pub listen: String,
    /// URL under which members reach it.
    pub public_url: String,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// `sqlite://PATH` or `postgres://...`.
    pub url: String,
}

/// `[content]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentSection {
    /// Directory of the ciphertexts.
    pub dir: PathBuf,
}

/// The roads of a node, in the order in which the file has them.
#[derive(Clone, Debug)]
pub struct Backbones(Vec<BackboneSection>);

impl Backbones {
    /// A node with these roads. More than one need names, those of the directory.
    ///
    /// # Errors
    /// There is none, or a name is missing or there twice.
    pub fn new(sections: Vec<BackboneSection>) -> Result<Self, &'static str> {
        let names: std::collections::BTreeSet<_> =
            sections.iter().filter_map(|s| s.name.as_ref()).collect();
        match sections.len() {
            0 => Err("a node needs a backbone"),
            1 => Ok(Self(sections)),
            several if names.len() < several => {
                Err("each of several backbones needs a `name` of its own, as in the directory")
            }
            _ => Ok(Self(sections)),
        }
    }

    fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.0.iter_mut().flat_map(|one| {
            let BackboneSection { ca_file, certificate, key, .. } = one;
            [ca_file, certificate, key].into_iter().flatten()
        })
    }

    fn urls(&mut self) -> impl Iterator<Item = &mut String> {
        self.all_mut().map(|section| &mut section.url)
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &BackboneSection> {
        self.0.iter()
    }

    /// Each of them, to be changed.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut BackboneSection> {
        self.0.iter_mut()
    }
}

impl Serialize for Backbones {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Backbones {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore)
    }
}

/// Reads a table, or an array of tables; each with the errors of [`BackboneSection`].
struct OneOrMore;

impl<'de> serde::de::Visitor<'de> for OneOrMore {
    type Value = Backbones;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[backbone], or one [[backbone]] for each")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Backbones, A::Error> {
        let one = BackboneSection::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Backbones::new(vec![one]).map_err(serde::de::Error::custom)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Backbones, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Backbones::new(all).map_err(serde::de::Error::custom)
    }
}

/// `[backbone]`, or one of `[[backbone]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneSection {
    /// Its name in the directory: needed where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `embedded://PATH`, `amqp://...` or `kafka://...`.
    pub url: String,
    /// PEM of the broker's certificate authority, instead of those of the system; TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM of this node's certificate as a client of the broker, leaf first; goes with `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PKCS#8 PEM of the key of `certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Set before the node's id in the names of lanes, so that several networks share a broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NodeId>,
    /// Copies of each lane; the broker's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<u16>,
    /// Kafka: copies that must have a frame before it counts as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_in_sync: Option<u16>,
    /// Kafka: partitions of each lane when it is made; as many processes can share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u16>,
    /// Kafka: the largest batch of records that a lane takes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
    /// Retention of topics, in hours.
    #[serde(default = "week")]
    pub retention_hours: u32,
}

/// `[keys]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// PKCS#8 PEM of the seal.
    pub seal_key: PathBuf,
    /// PEM of the seal certificate and its intermediates, leaf first.
    pub seal_chain: PathBuf,
    /// PKCS#8 PEM to decrypt with.
    pub encryption_key: PathBuf,
    /// PEM of the certificate to encrypt to.
    pub encryption_certificate: PathBuf,
    /// 32 raw bytes that wrap document keys at rest.
    pub storage_key: PathBuf,
    /// Directory of current CRLs (`*.crl`, DER), read again when they change.
    pub crls: PathBuf,
}

/// `[trust]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSection {
    /// PEM files of the anchors of seals.
    pub anchors: Vec<PathBuf>,
    /// PEM files of the anchors of timestamp authorities.
    pub tsa_anchors: Vec<PathBuf>,
}

/// `[directory]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySection {
    /// Directory holding `root.p7m`, `catalogue.p7m` and `members-<node>.p7m`.
    pub dir: PathBuf,
    /// How often to look for new lists, in milliseconds.
    #[serde(default = "second")]
    pub poll_ms: u64,
}

/// `[tsa]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TsaSection {
    /// RFC 3161 URLs, tried in order.
    pub urls: Vec<String>,
    /// Longest wait for a round of anchoring, in milliseconds.
    #[serde(default = "second")]
    pub interval_ms: u64,
    /// Most evidence under one token.
    #[serde(default = "batch")]
    pub max_batch: u32,
}

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Past this age of unanchored evidence, submissions are refused, in seconds.
    pub max_unanchored_age_s: u64,
    /// An unacknowledged inbox item comes back after this, in seconds.
    pub inbox_visibility_s: u64,
    /// Life of an access token, in seconds.
    pub token_s: u64,
    /// Life of an unused upload, in seconds.
    pub upload_s: u64,
    /// Largest message, in bytes.
    pub max_message_size: u64,
    /// Requests that may wait for the engine before 503 is answered.
    pub queue: usize,
    /// Below this much free space nothing new is taken, in bytes.
    pub min_free_bytes: u64,
    /// Most bytes in memory for calls that bring something new.
    pub max_inflight_bytes: u64,
    /// Past this many unsent publications nothing new is taken.
    pub max_unsent: u64,
    /// What each member may send in a day.
    pub quota: QuotaSection,
    /// What may wait for each member.
    pub space: SpaceSection,
}

/// `[limits.space]`: of each member, and `[limits.space.members."SIRET"]` of one; 0 is no limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpaceSection {
    /// Most deliveries that wait to be accepted or collected.
    pub items: u64,
    /// Most octets of their documents.
    pub bytes: u64,
    /// Members with a space of their own, by SIRET.
    pub members: BTreeMap<String, SpaceOfMember>,
}

impl Default for SpaceSection {
    fn default() -> Self {
        Self { items: 100_000, bytes: 1 << 40, members: BTreeMap::new() }
    }
}

/// `[limits.space.members."SIRET"]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpaceOfMember {
    /// Most deliveries that wait to be accepted or collected.
    pub items: u64,
    /// Most octets of their documents.
    pub bytes: u64,
}

/// `[limits.quota]`: of each member, and `[limits.quota.members."SIRET"]` of one; 0 is no limit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSection {
    /// Most messages in a day (UTC).
    pub messages_per_day: u64,
    /// Most octets of documents in a day (UTC).
    pub bytes_per_day: u64,
    /// Members with a quota of their own, by SIRET.
    pub members: BTreeMap<String, QuotaOfMember>,
}

/// `[limits.quota.members."SIRET"]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaOfMember {
    /// Most messages in a day (UTC).
    pub messages_per_day: u64,
    /// Most octets of documents in a day (UTC).
    pub bytes_per_day: u64,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            max_unanchored_age_s: 4 * 3600,
            inbox_visibility_s: 60,
            token_s: 3600,
            upload_s: 24 * 3600,
            max_message_size: 8 << 30,
            queue: 4096,
            min_free_bytes: 256 << 20,
            max_inflight_bytes: 512 << 20,
            max_unsent: 1_000_000,
            quota: QuotaSection::default(),
            space: SpaceSection::default(),
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Filter, such as `info,pli=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: "text".to_owned() }
    }
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySection {
    /// OTLP over HTTP: `http://HOST:4318`. Traces are recorded only with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_url: Option<String>,
    /// Which share of all traces is recorded, from 0 to 1.
    #[serde(deserialize_with = "share")]
    pub sample_ratio: f64,
    /// `service.name`; `pli-NODE` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
}

impl TelemetrySection {
    const fn is_off(&self) -> bool {
        self.otlp_url.is_none()
    }
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self { otlp_url: None, sample_ratio: 1.0, service_name: None }
    }
}

/// A number from 0 to 1; an override from the environment is text.
fn share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Real(f64),
        Text(String),
    }
    let given = match Number::deserialize(deserializer)? {
        Number::Real(number) => Some(number),
        Number::Text(text) => text.parse().ok(),
    };
    given
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| serde::de::Error::custom("a number from 0 to 1"))
}

const fn week() -> u32 {
    7 * 24
}
const fn second() -> u64 {
    1_000
}
const fn batch() -> u32 {
    100_000
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// Not TOML, an unknown key, a missing key or a value of the wrong kind.
    #[error("{0}: {1}")]
    Invalid(PathBuf, String),
}

impl Config {
    /// Reads `path`, then overrides from `environment` (pairs of name and value).
    ///
    /// # Errors
    /// [`ConfigError`] naming the file and the key.
    pub fn read(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::Unreadable(path.to_owned(), e))?;
        let invalid = |e: String| ConfigError::Invalid(path.to_owned(), e);
        let mut table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| invalid(e.to_string()))?;
        for (name, value) in environment {
            if let Some(keys) = name.strip_prefix("PLI__") {
                set(&mut table, &keys.to_lowercase(), &value).map_err(invalid)?;
            }
        }
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        let mut config: Self = table.try_into().map_err(|e| invalid(e.to_string()))?;
        config.resolve(base);
        config.store.url = secret(&config.store.url, base).map_err(invalid)?;
        for url in config.backbone.urls().chain(&mut config.telemetry.otlp_url) {
            *url = secret(url, base).map_err(invalid)?;
        }
        Ok(config)
    }

    fn resolve(&mut self, base: &Path) {
        let keys = &mut self.keys;
        let single = [
            &mut self.content.dir,
            &mut self.directory.dir,
            &mut keys.seal_key,
            &mut keys.seal_chain,
            &mut keys.encryption_key,
            &mut keys.encryption_certificate,
            &mut keys.storage_key,
            &mut keys.crls,
        ];
        let trust = self.trust.anchors.iter_mut().chain(self.trust.tsa_anchors.iter_mut());
        for path in single.into_iter().chain(trust).chain(self.backbone.files()) {
            *path = base.join(&*path);
        }
        for url in std::iter::once(&mut self.store.url).chain(self.backbone.urls()) {
            for scheme in ["sqlite://", "embedded://"] {
                if let Some(rest) = url.strip_prefix(scheme) {
                    *url = format!("{scheme}{}", base.join(rest).display());
                    break;
                }
            }
        }
    }
}

/// Sets `section__key` to a string, or to an integer where it reads as one.
fn set(table: &mut toml::Table, keys: &str, value: &str) -> Result<(), String> {
    let Some((section, key)) = keys.split_once("__") else {
        return Err(format!("PLI__{}: write PLI__SECTION__KEY", keys.to_uppercase()));
    };
    let entry = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let Some(inner) = entry.as_table_mut() else {
        return Err(format!("{section} is not a section"));
    };
    let value = value
        .parse::<i64>()
        .map_or_else(|_| toml::Value::String(value.to_owned()), toml::Value::Integer);
    inner.insert(key.to_owned(), value);
    Ok(())
}

/// Reads `file:PATH` and `credential:NAME`; anything else stands for itself.
fn secret(value: &str, base: &Path) -> Result<String, String> {
    let path = if let Some(path) = value.strip_prefix("file:") {
        base.join(path)
    } else if let Some(name) = value.strip_prefix("credential:") {
        let dir = std::env::var_os("CREDENTIALS_DIRECTORY")
            .ok_or_else(|| format!("{value}: systemd gave no credentials"))?;
        Path::new(&dir).join(name)
    } else {
        return Ok(value.to_owned());
    };
    std::fs::read_to_string(&path)
        .map(|text| text.trim().to_owned())
        .map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_traces_lies_between_none_and_all_also_from_the_environment() {
        let read = |text: &str| toml::from_str::<TelemetrySection>(text);
        for (text, share) in [
            ("", 1.0),
            ("sample_ratio = 0.25", 0.25),
            ("sample_ratio = 0", 0.0),
            ("sample_ratio = \"0.5\"", 0.5),
        ] {
            assert!((read(text).unwrap().sample_ratio - share).abs() < f64::EPSILON, "{text}");
        }
        for bad in ["1.5", "-0.1", "nan", "\"half\"", "true"] {
            assert!(read(&format!("sample_ratio = {bad}")).is_err(), "{bad}");
        }
        assert!(read("otlp_uri = \"http://127.0.0.1:4318\"").is_err(), "an unknown key");
        let mut table = toml::Table::new();
        set(&mut table, "telemetry__sample_ratio", "0.1").unwrap();
        set(&mut table, "telemetry__otlp_url", "http://127.0.0.1:4318").unwrap();
        let section: TelemetrySection = table.remove("telemetry").unwrap().try_into().unwrap();
        assert!((section.sample_ratio - 0.1).abs() < f64::EPSILON && !section.is_off());
    }
}
