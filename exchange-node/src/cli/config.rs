//! `pli config check`: reads the file as the node would, then looks at everything it names.

use std::net::ToSocketAddrs as _;
use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::{Call, Failure, Lang, Text, text, texts};
use crate::config::Config;

/// `pli config`
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Read the file as the node would, and look at everything that it names
    Check,
}

/// One thing to put right.
#[derive(Debug, Serialize)]
struct Finding {
    /// `section.key`
    key: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct Checked<'a> {
    file: &'a Path,
    node: &'a str,
    findings: &'a [Finding],
}

const MISSING: Text = text("{0}: there is no such file", "{0} : ce fichier n'existe pas");
const EXPOSED: Text = text(
    "{0}: others can read this private key (mode {1}); chmod 600",
    "{0} : d'autres peuvent lire cette clé privée (mode {1}) ; chmod 600",
);
const NOT_AN_ADDRESS: Text =
    text("{0}: not an address and port", "{0} : pas une adresse avec un port");
const NOT_A_URL: Text = text("{0}: not a URL of this kind", "{0} : pas une URL de ce type");
const NOTHING_NAMED: Text = text("nothing is named", "rien n'est indiqué");
const LENGTH: Text = text("{0}: {1} octets instead of 32", "{0} : {1} octets au lieu de 32");

pub(super) fn run(verb: &ConfigVerb, call: &Call) -> anyhow::Result<()> {
    let ConfigVerb::Check = verb;
    let file = call.config_file()?;
    let config = Config::read(file, std::env::vars()).map_err(|e| Failure::usage(e.to_string()))?;
    let findings = look(&config, call.screen.lang);
    let node = config.node.id.as_str();
    if call.screen.json {
        call.screen.object(&Checked { file, node, findings: &findings })?;
    } else {
        for finding in &findings {
            call.screen.line(format!("{}: {}", finding.key, finding.detail))?;
        }
    }
    if findings.is_empty() {
        call.screen.tell(texts::CONFIG_SOUND, &[&file.display(), &node]);
        return Ok(());
    }
    let many = texts::CONFIG_FAULTS.fill(call.screen.lang, &[&file.display(), &findings.len()]);
    Err(Failure::usage(many))
}

fn look(config: &Config, lang: Lang) -> Vec<Finding> {
    let mut found = Found { lang, findings: Vec::new() };
    if config.node.listen.to_socket_addrs().is_err() {
        found.add("node.listen", NOT_AN_ADDRESS, &config.node.listen);
    }
    found.url("node.public_url", &config.node.public_url, &["http://", "https://"]);
    found.url("store.url", &config.store.url, &["sqlite://", "postgres://", "postgresql://"]);
    let roads = ["embedded://", "amqp://", "amqps://", "kafka://"];
    for section in config.backbone.all() {
        found.url("backbone.url", &section.url, &roads);
    }
    if let Some(url) = &config.telemetry.otlp_url {
        found.url("telemetry.otlp_url", url, &["http://", "https://"]);
    }
    found.keys(config);
    found.files("trust.anchors", &config.trust.anchors);
    found.files("trust.tsa_anchors", &config.trust.tsa_anchors);
    found.file("directory.dir", &config.directory.dir);
    if config.tsa.urls.is_empty() {
        let detail = NOTHING_NAMED.of(lang).to_owned();
        found.findings.push(Finding { key: "tsa.urls", detail });
    }
    for url in &config.tsa.urls {
        found.url("tsa.urls", url, &["http://", "https://"]);
    }
    found.findings
}

struct Found {
    lang: Lang,
    findings: Vec<Finding>,
}

impl Found {
    fn add(&mut self, key: &'static str, what: Text, value: &str) {
        self.findings.push(Finding { key, detail: what.fill(self.lang, &[&value]) });
    }

    fn file(&mut self, key: &'static str, path: &Path) -> bool {
        let there = path.exists();
        if !there {
            self.add(key, MISSING, &path.display().to_string());
        }
        there
    }

    fn files(&mut self, key: &'static str, paths: &[std::path::PathBuf]) {
        if paths.is_empty() {
            let detail = NOTHING_NAMED.of(self.lang).to_owned();
            self.findings.push(Finding { key, detail });
        }
        for path in paths {
            self.file(key, path);
        }
    }

    /// The scheme alone is shown: the rest may hold a password.
    fn url(&mut self, key: &'static str, url: &str, schemes: &[&str]) {
        if !schemes.iter().any(|s| url.len() > s.len() && url.starts_with(s)) {
            let shown = url.split_once("://").map_or("?", |(scheme, _)| scheme);
            self.add(key, NOT_A_URL, shown);
        }
    }

    fn keys(&mut self, config: &Config) {
        let keys = &config.keys;
        self.file("keys.seal_chain", &keys.seal_chain);
        self.file("keys.encryption_certificate", &keys.encryption_certificate);
        self.file("keys.crls", &keys.crls);
        self.private("keys.seal_key", &keys.seal_key);
        self.private("keys.encryption_key", &keys.encryption_key);
        if self.private("keys.storage_key", &keys.storage_key) {
            let length = std::fs::metadata(&keys.storage_key).map_or(0, |m| m.len());
            if length != 32 {
                let path = keys.storage_key.display();
                let detail = LENGTH.fill(self.lang, &[&path, &length]);
                self.findings.push(Finding { key: "keys.storage_key", detail });
            }
        }
    }

    fn private(&mut self, key: &'static str, path: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        if !self.file(key, path) {
            return false;
        }
        let mode = std::fs::metadata(path).map_or(0, |m| m.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            let detail = EXPOSED.fill(self.lang, &[&path.display(), &format!("{mode:o}")]);
            self.findings.push(Finding { key, detail });
        }
        true
    }
}
