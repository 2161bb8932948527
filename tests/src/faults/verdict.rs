//! The judgement: what senders were told, what recipients hold, what the evidence says, what the
//! auditor finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use exchange_node::config::Config;
use exchange_store::rows::Kind;
use futures::StreamExt as _;
use schemas::digest::Digest;
use serde_json::Value;

use super::ground::Ground;
use super::load::{Ledger, Told};
use crate::net::{Api, state, text_at};

/// How long the last evidence may take to come back.
const LAST_EVIDENCE: Duration = Duration::from_secs(120);
/// Messages whose senders are asked for their state.
const STATES: usize = 120;
/// Messages that are looked at at once.
const AT_ONCE: usize = 8;
/// Rows of an archive that are read at once.
const PAGE: u32 = 500;
/// Bundles that are verified.
const BUNDLES: usize = 8;

/// What came of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Messages that senders were told to be accepted.
    pub told: usize,
    /// Messages that recipients hold.
    pub held: usize,
    /// Calls that were repeated.
    pub repeated: usize,
    /// Evidence in all archives, each compared with every other copy of it.
    pub evidence: usize,
    /// Bundles that were verified.
    pub bundles: usize,
    /// What is wrong.
    pub findings: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} told, {} held, {} calls repeated, {} evidence compared, {} bundles valid, \
             {} findings",
            self.told,
            self.held,
            self.repeated,
            self.evidence,
            self.bundles,
            self.findings.len()
        )
    }
}

/// Compares everything with everything.
///
/// # Errors
/// A node does not answer.
pub async fn judge(
    ground: &Ground,
    ledger: &Ledger,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Verdict> {
    let mut verdict = Verdict {
        told: ledger.told.len(),
        held: ledger.held.len(),
        repeated: ledger.repeated,
        findings: ledger.complaints.clone(),
        ..Verdict::default()
    };
    ledgers(ledger, &mut verdict.findings);
    let description = ground.net().description()?;
    let mut senders: BTreeMap<(usize, usize), Api> = BTreeMap::new();
    let places: BTreeSet<_> = ledger.told.iter().map(|told| told.sender).collect();
    for (node, member) in places {
        senders.insert((node, member), ground.net().member(node, member).await?);
    }
    say("          comparing the evidence");
    let all = ledger.told.iter().filter_map(|told| Some((senders.get(&told.sender)?, told)));
    let wrong = futures::stream::iter(all.clone().step_by(every(ledger, STATES)))
        .map(|(api, told)| evidence(api, told, hops(&description, told)))
        .buffer_unordered(AT_ONCE)
        .filter_map(|said| std::future::ready(said.err()));
    verdict.findings.extend(wrong.collect::<Vec<_>>().await);
    for (api, told) in all.step_by(every(ledger, BUNDLES)) {
        match bundle(ground, api, told).await {
            Ok(()) => verdict.bundles += 1,
            Err(what) => verdict.findings.push(format!("{}: {what:#}", told.message)),
        }
    }
    let (archives, wrong) = archives(ground, &description, ledger).await?;
    verdict.findings.extend(wrong);
    verdict.evidence = archives.iter().map(|archive| archive.texts.len()).sum();
    let ends = |told: &Told| (told.sender.0, told.recipient);
    let ends = ledger.told.iter().map(|told| (told.message.as_str(), ends(told)));
    verdict.findings.extend(bytes(&archives, &ends.collect()));
    audit(ground, &description, &mut verdict.findings);
    Ok(verdict)
}

fn ledgers(ledger: &Ledger, findings: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    for told in &ledger.told {
        known.insert(&told.message);
        match ledger.held.get(&told.message) {
            None => findings.push(format!("lost: {told:?}")),
            Some(held) if held.len() != 1 => findings.push(format!("doubled: {held:?}")),
            Some(held) if held.values().any(|sha256| *sha256 != told.sha256) => {
                findings.push(format!("altered: {told:?}"));
            }
            Some(_) => {}
        }
    }
    if known.len() != ledger.told.len() {
        findings.push("two submissions were given one id".to_owned());
    }
    for held in ledger.held.keys().filter(|held| !known.contains(held)) {
        findings.push(format!("nobody was told of {held}"));
    }
}

/// How many nodes take it over, the recipient's included.
fn hops(description: &Value, told: &Told) -> usize {
    let id = |n: usize| text_at(description, &format!("/nodes/{n}/id"));
    let behind = |n: usize| id(n).starts_with("ville-");
    // In the chained topology the town's node is reached through the departmental one.
    match (behind(told.sender.0), behind(told.recipient)) {
        (true, false) if id(told.recipient) != "cd-34" => 2,
        (false, true) if id(told.sender.0) != "cd-34" => 2,
        _ => 1,
    }
}

/// One message in so many, for a sample of about `size`.
fn every(ledger: &Ledger, size: usize) -> usize {
    ledger.told.len().div_ceil(size).max(1)
}

/// A.1, a B.1 of each node that took it over, D.1 and E.1, each once, and nothing else.
fn chain(hops: usize) -> Vec<String> {
    let hops = std::iter::repeat_n("RB01", hops);
    std::iter::once("RA01").chain(hops).chain(["RD01", "RE01"]).map(str::to_owned).collect()
}

/// All archives, once every message has its chain in that of its sender, and the messages that
/// have none.
async fn archives(
    ground: &Ground,
    description: &Value,
    ledger: &Ledger,
) -> Result<(Vec<Archive>, Vec<String>)> {
    let end = Instant::now() + LAST_EVIDENCE;
    loop {
        let all = Archive::all(ground, description).await?;
        let mut chains: BTreeMap<(usize, &str), Vec<String>> = BTreeMap::new();
        for (n, archive) in all.iter().enumerate() {
            for sealed in archive.texts.values() {
                chains.entry((n, &sealed.message)).or_default().push(sealed.code.clone());
            }
        }
        let mut wrong = Vec::new();
        for told in &ledger.told {
            let mut codes = chains.remove(&(told.sender.0, &told.message)).unwrap_or_default();
            codes.sort();
            if codes != chain(hops(description, told)) {
                wrong.push(format!("{}: {codes:?} in the archive of its sender", told.message));
            }
        }
        if wrong.is_empty() || Instant::now() > end {
            return Ok((all, wrong));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The sender is told the whole chain, and the end.
async fn evidence(api: &Api, told: &Told, hops: usize) -> Result<(), String> {
    let end = Instant::now() + LAST_EVIDENCE;
    let expected = chain(hops);
    loop {
        let path = format!("/v1/messages/{}", told.message);
        let message = api.get(&path).await.map_err(|e| format!("{path}: {e:#}"))?;
        let steps = message.pointer("/deliveries/0/evidence").and_then(Value::as_array);
        let mut codes: Vec<String> =
            steps.into_iter().flatten().map(|step| text_at(step, "/code")).collect();
        codes.sort();
        if codes == expected && state(&message) == "handed_over" {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("{}: {} with {codes:?}", told.message, state(&message)));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn bundle(ground: &Ground, api: &Api, told: &Told) -> Result<()> {
    let net = ground.net();
    let file = net.dir().join(format!("{}.asice", told.message));
    api.proof(&told.message, &file).await?;
    let (root, tsa) = (net.root(), net.dir().join("trust/tsa.pem"));
    let [file, root, tsa] = [file, root, tsa].map(|path| path.display().to_string());
    let output = net.run(&["verify", &file, "--trust", &root, "--trust", &tsa])?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// The evidence in the archive of one node: by its id, whose it is and what it says.
struct Archive {
    node: String,
    texts: BTreeMap<String, Sealed>,
}

/// One evidence, as its bytes are.
struct Sealed {
    message: String,
    issuer: String,
    code: String,
    sha256: Digest,
}

impl Archive {
    async fn all(ground: &Ground, description: &Value) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for node in description["nodes"].as_array().into_iter().flatten() {
            all.push(Self::of(ground, text_at(node, "/id")).await?);
        }
        Ok(all)
    }

    /// Reads it in the database, past the node.
    async fn of(ground: &Ground, node: String) -> Result<Self> {
        let file = ground.net().dir().join(&node).join("node.toml");
        let config = Config::read(&file, std::iter::empty())?;
        let store = exchange_store::open(&config.store.url).await?;
        let mut texts = BTreeMap::new();
        let mut after = 0;
        loop {
            let rows = store.evidence_after(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in rows.into_iter().map(|row| row.evidence) {
                if row.kind == Kind::Evidence {
                    let sha256 = signing::digest::sha256(&row.p7m);
                    let (message, issuer) = (row.message.to_string(), row.node.to_string());
                    let code = row.reason.map(|reason| reason.code().to_owned());
                    let code = code.unwrap_or_default();
                    texts.insert(row.id.to_string(), Sealed { message, issuer, code, sha256 });
                }
            }
        }
        store.close().await;
        Ok(Self { node, texts })
    }
}

/// One id, one text, to the last byte, wherever it is; and what either end of a message has said,
/// the other end holds.
fn bytes(archives: &[Archive], ends: &BTreeMap<&str, (usize, usize)>) -> Vec<String> {
    let mut findings = Vec::new();
    for archive in archives {
        for (id, sealed) in &archive.texts {
            let issuer = archives.iter().find(|other| other.node == sealed.issuer);
            match issuer.and_then(|other| other.texts.get(id)) {
                None => findings.push(format!(
                    "{} holds {id}, and {} has never issued it",
                    archive.node, sealed.issuer
                )),
                Some(issued) if issued.sha256 != sealed.sha256 => {
                    findings.push(format!("{} holds another text of {id}", archive.node));
                }
                Some(_) => {}
            }
            let Some((from, to)) = ends.get(sealed.message.as_str()) else { continue };
            let end = |n: usize| archives.get(n).filter(|end| end.node == sealed.issuer);
            let far = match (end(*from), end(*to)) {
                (Some(_), None) => archives.get(*to),
                (None, Some(_)) => archives.get(*from),
                _ => None,
            };
            if let Some(far) = far.filter(|far| !far.texts.contains_key(id)) {
                findings.push(format!("{} never got {id} of {}", far.node, sealed.issuer));
            }
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// `fsck` and the queue of dead letters of each node.
fn audit(ground: &Ground, description: &Value, findings: &mut Vec<String>) {
    for node in description["nodes"].as_array().into_iter().flatten() {
        let id = text_at(node, "/id");
        if let Err(what) = ground.net().fsck(&id) {
            findings.push(format!("fsck of {what:#}"));
        }
        let config = ground.net().dir().join(&id).join("node.toml").display().to_string();
        let list = ground.net().run(&["queue", "list", "--json", "--config", &config]);
        let text = list.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        for line in text.unwrap_or_default().lines() {
            let row: Value = serde_json::from_str(line).unwrap_or_default();
            if row["state"] == "dead" {
                findings.push(format!("a dead letter at {id}: {line}"));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn told(message: &str) -> Told {
        let (sender, sha256) = ((0, 0), Digest([1; 32]));
        Told { message: message.to_owned(), sender, recipient: 1, sha256 }
    }

    fn found(told: &[Told], held: &[(&str, &str, u8)]) -> Vec<String> {
        let mut ledger = Ledger { told: told.to_vec(), ..Ledger::default() };
        for (message, delivery, byte) in held {
            let of = ledger.held.entry((*message).to_owned()).or_default();
            of.insert((*delivery).to_owned(), Digest([*byte; 32]));
        }
        let mut findings = Vec::new();
        ledgers(&ledger, &mut findings);
        findings.iter().filter_map(|f| f.split([':', ' ']).next().map(str::to_owned)).collect()
    }

    fn archive(node: &str, held: &[(&str, &str, u8)]) -> Archive {
        let sealed = |(id, issuer, byte): &(&str, &str, u8)| {
            let sealed = Sealed {
                message: "m".to_owned(),
                issuer: (*issuer).to_owned(),
                code: String::new(),
                sha256: Digest([*byte; 32]),
            };
            ((*id).to_owned(), sealed)
        };
        Archive { node: node.to_owned(), texts: held.iter().map(sealed).collect() }
    }

    #[test]
    fn evidence_that_differs_or_is_missing_at_one_end_is_found_out() {
        let ends = BTreeMap::from([("m", (0, 2))]);
        let found = |etat: &[_], relay: &[_], town: &[_]| {
            let all = [archive("etat", etat), archive("cd", relay), archive("ville", town)];
            bytes(&all, &ends)
        };
        let (a1, b1, d1) = (("a1", "etat", 1), ("b1", "cd", 2), ("d1", "ville", 3));
        assert!(found(&[a1, b1, d1], &[a1, b1, d1], &[a1, d1]).is_empty());
        let other = ("d1", "ville", 4);
        assert_eq!(found(&[a1, b1, other], &[b1], &[a1, d1]), ["etat holds another text of d1"]);
        assert_eq!(found(&[a1, b1], &[b1], &[a1, d1]), ["etat never got d1 of ville"]);
        assert_eq!(found(&[a1, b1, d1], &[b1], &[d1]), ["ville never got a1 of etat"]);
        let forged = found(&[a1, b1, d1], &[b1], &[a1]);
        assert_eq!(forged, ["etat holds d1, and ville has never issued it"]);
    }

    #[test]
    fn a_ledger_that_does_not_agree_is_found_out() {
        assert!(found(&[told("a"), told("b")], &[("a", "1", 1), ("b", "2", 1)]).is_empty());
        assert_eq!(found(&[told("a"), told("b")], &[("a", "1", 1)]), ["lost"]);
        assert_eq!(found(&[told("a")], &[("a", "1", 1), ("a", "2", 1)]), ["doubled"]);
        assert_eq!(found(&[told("a")], &[("a", "1", 2)]), ["altered"]);
        assert_eq!(found(&[told("a")], &[("a", "1", 1), ("b", "2", 1)]), ["nobody"]);
        assert_eq!(found(&[told("a"), told("a")], &[("a", "1", 1)]), ["two"]);
    }
}
