//! The auditor names whatever does not agree with the evidence, on both databases, and nothing
//! else: each thing is spoiled in a copy of the archive of a node that is sound.
//!
//! ```text
//!   etat ------ backbone ------ cd-34       spoiled copies --> pli fsck
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use exchange_node::config::Config;
use exchange_node::fsck::{self, Place, Report};
use exchange_node::keys::Keys;
use exchange_store::content::Shelf;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tests::net::{Net, skipped, state, text_at};

/// How something is spoiled.
enum Deed {
    /// By a statement of SQL. `{id}` is an identifier that nothing has, `{yes}` and `{no}` are
    /// truth values, `{octets}` 32 octets.
    Sql(&'static str),
    /// In the state of the delivery in this phase; and by SQL for the same delivery.
    State(&'static str, fn(&mut Value), &'static str),
    /// In the content.
    Content(fn(&Path, &str)),
}
use Deed::{Content, Sql, State};

type Case = (&'static str, Deed, &'static [&'static str]);

const OF_ETAT: &[Case] = &[
    (
        "a state",
        State(
            "handed_over",
            |s| s["phase"] = json!("handover_failed"),
            "phase = 'handover_failed'",
        ),
        &["phase"],
    ),
    (
        "a custodian",
        State("consigned", |s| s["custodian"] = json!("etat"), "custodian = 'etat'"),
        &["custodian"],
    ),
    (
        "since when",
        State(
            "handed_over",
            |s| s["since"] = json!("2026-01-01T00:00:00.000Z"),
            "since = 1767225600000",
        ),
        &["since"],
    ),
    (
        "a business status",
        State("handed_over", |s| s["business"] = json!("done"), ""),
        &["business-status"],
    ),
    (
        "all timers",
        State("consigned", |s| s["timers"] = json!({}), "next_due = null"),
        &["no-due-time"],
    ),
    (
        "a timer at the end",
        State(
            "handed_over",
            |s| s["timers"]["handover"] = json!("2026-01-01T00:00:00.000Z"),
            "next_due = 1767225600000",
        ),
        &["due-after-end"],
    ),
    (
        "a list of evidence",
        State("handed_over", |s| drop(s["evidence"].as_array_mut().unwrap().remove(1)), ""),
        &["custodian", "evidence-unlisted"],
    ),
    (
        "what is listed",
        State("handed_over", |s| s["evidence"][1]["reason"] = json!("RB21"), ""),
        &["evidence-listed"],
    ),
    (
        "a listed digest",
        State("handed_over", |s| s["evidence"][1]["digest"] = json!("0".repeat(64)), ""),
        &["digest"],
    ),
    (
        "an unreadable state",
        State("handed_over", |s| s["since"] = json!("yesterday"), ""),
        &["state"],
    ),
    (
        "a column of the phase",
        Sql("update deliveries set phase = 'relayed' where phase = 'handed_over'"),
        &["delivery-column"],
    ),
    (
        "a column of the due time",
        Sql("update deliveries set next_due = null where phase = 'consigned'"),
        &["delivery-column"],
    ),
    (
        "an evidence",
        Sql("delete from evidence where event = 'ContentHandover'"),
        &["anchor-leaves", "event-stray", "evidence-missing", "phase"],
    ),
    (
        "an event's name",
        Sql("update evidence set event = 'ContentHandoverFailure' where event = 'ContentHandover'"),
        &["object-column"],
    ),
    (
        "a reason",
        Sql("update evidence set reason = 'RE02' where event = 'ContentHandover'"),
        &["object-column"],
    ),
    (
        "an issuer",
        Sql("update evidence set node = 'etat' where event = 'ContentHandover'"),
        &["object-column"],
    ),
    (
        "a time",
        Sql("update evidence set at = at + 1 where event = 'ContentHandover'"),
        &["object-column"],
    ),
    (
        "a time of sealing",
        Sql("update evidence set sealed_at = sealed_at + 5000 where event = 'ContentHandover'"),
        &["object-column"],
    ),
    (
        "a digest",
        Sql("update evidence set sha256 = {octets} where event = 'ContentHandover'"),
        &["anchor-leaves", "object-column"],
    ),
    (
        "an identifier",
        Sql("update evidence set id = {id} where event = 'SubmissionRejection'"),
        &["identifier"],
    ),
    (
        "a seal",
        Sql(
            "update evidence set p7m = substr(p7m, 1, 900) || {octets} where event = 'SubmissionRejection'",
        ),
        &["message-unproven", "seal"],
    ),
    (
        "the A.2",
        Sql("delete from evidence where event = 'SubmissionRejection'"),
        &["anchor-leaves", "message-unproven"],
    ),
    (
        "the deliveries of a message",
        Sql("delete from deliveries where phase = 'handed_over'"),
        &["message-unproven", "object-stray"],
    ),
    (
        "a message",
        Sql(
            "delete from messages where id in (select message from deliveries where phase = 'handed_over')",
        ),
        &["delivery-stray", "object-stray"],
    ),
    (
        "a démarche",
        Sql(
            "update messages set process = 'URBA' where id in (select message from deliveries where phase = 'handed_over')",
        ),
        &["message-column"],
    ),
    (
        "an envelope",
        Sql(
            "update messages set envelope = '{}' where id in (select message from deliveries where phase = 'handed_over')",
        ),
        &["envelope"],
    ),
    (
        "the documents of an envelope",
        Sql(
            "update messages set envelope = replace(replace(replace(envelope, '\"sha256\"', '\"x\"'), '\"cipher_sha256\"', '\"sha256\"'), '\"x\"', '\"cipher_sha256\"') where id in (select message from deliveries where phase = 'handed_over')",
        ),
        &["content-digests"],
    ),
    (
        "an entry of a feed",
        Sql("delete from events where event like '%evidence.ContentHandover\"%'"),
        &["event-missing"],
    ),
    (
        "an entry about nothing",
        Sql(
            "insert into events (member, event) values ('x', '{\"time\":\"2026-01-01T00:00:00.000Z\",\"data\":{\"evidence_id\":\"6c6f7374-0000-7000-8000-000000000000\"}}')",
        ),
        &["event-stray"],
    ),
    ("a time of an anchor", Sql("update anchors set at = at + 1"), &["anchor-time"]),
    (
        "a token",
        Sql("update anchors set token = substr(token, 1, 500) || {octets}"),
        &["anchor-token"],
    ),
    (
        "a root",
        Sql("update anchors set root = {octets} where id = (select max(id) from anchors)"),
        &["anchor-root", "anchor-token"],
    ),
    (
        "leaves",
        Sql(
            "update anchors set leaves = {octets} || substr(leaves, 33) where id = (select max(id) from anchors)",
        ),
        &["anchor-leaves", "anchor-root"],
    ),
    (
        "an anchor",
        Sql("delete from anchors where id = (select min(id) from anchors)"),
        &["anchor-leaves"],
    ),
    (
        "whom the queue is about",
        Sql("update queue set delivery = {id} where kind = 'publish'"),
        &["queue-stray"],
    ),
    (
        "what the queue sends",
        Sql("update queue set payload = {octets} where kind = 'publish'"),
        &["queue-payload"],
    ),
    (
        "the head of an order",
        Sql("update queue set head = {no} where kind = 'publish'"),
        &["queue-head"],
    ),
    (
        "a dispatch that waits",
        Sql(
            "delete from evidence where event = 'dispatch' and message in (select message from deliveries where phase = 'accepted')",
        ),
        &["anchor-leaves", "queue-stray"],
    ),
];

const OF_CD_34: &[Case] = &[
    ("an item of an inbox", Sql("delete from inbox"), &["inbox-missing"]),
    (
        "an item that nobody waits for",
        Sql(
            "insert into inbox (delivery, member, phase) select id, recipient_member, 'consigned' from deliveries where phase = 'handed_over'",
        ),
        &["inbox-stray"],
    ),
    ("whose item it is", Sql("update inbox set member = 'somebody'"), &["inbox-column"]),
    (
        "the state of an item",
        Sql("update inbox set phase = 'awaiting_acceptance'"),
        &["inbox-column"],
    ),
    (
        "an item of nothing",
        Sql("insert into inbox (delivery, member, phase) values ({id}, 'x', 'consigned')"),
        &["row-stray"],
    ),
    (
        "who receives",
        Sql("update deliveries set recipient_member = 'somebody' where phase = 'handed_over'"),
        &["delivery-column", "event-missing"],
    ),
    (
        "the evidence before",
        State("handed_over", |s| drop(s["evidence"].as_array_mut().unwrap().remove(1)), ""),
        &["evidence-unlisted", "link"],
    ),
    (
        "a key",
        Sql(
            "delete from delivery_keys where delivery in (select id from deliveries where phase = 'consigned')",
        ),
        &["key-missing"],
    ),
    (
        "a size",
        Sql("update delivery_keys set cipher_size = cipher_size + 1"),
        &["content-changed", "key-column"],
    ),
    (
        "where a key leads",
        Sql("update delivery_keys set cipher_sha256 = {octets}"),
        &["content-missing", "key-column"],
    ),
    (
        "a wrapped key",
        Sql("update delivery_keys set wrapped_key = substr(wrapped_key, 1, 29) || {octets}"),
        &["key-broken"],
    ),
    (
        "a key of nothing",
        Sql(
            "insert into delivery_keys select {id}, document, cipher_sha256, cipher_size, wrapped_key from delivery_keys",
        ),
        &["row-stray"],
    ),
    (
        "a document that nobody sent",
        Sql(
            "update delivery_keys set document = {id} where delivery in (select id from deliveries where phase = 'consigned')",
        ),
        &["key-missing", "key-stray"],
    ),
    (
        "a key that was to be erased",
        Sql("update deliveries set erased = {yes} where phase = 'consigned'"),
        &["key-stray"],
    ),
    (
        "an erasure",
        Sql("update deliveries set erased = {no} where phase = 'refused'"),
        &["erasure", "key-missing"],
    ),
    ("a document", Content(spoil), &["content-changed"]),
    ("all documents", Content(|content, _| remove_all(content)), &["content-missing"]),
];

/// Removes all packs.
fn remove_all(content: &Path) {
    let packs = content.join("packs");
    std::fs::remove_dir_all(&packs).unwrap();
    std::fs::create_dir(&packs).unwrap();
}

/// Changes an octet of the ciphertext with this digest, which stands in front of it.
fn spoil(content: &Path, digest: &str) {
    let digest: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&digest[2 * i..2 * i + 2], 16).unwrap()).collect();
    for home in std::fs::read_dir(content.join("packs")).unwrap().flatten() {
        let files = std::fs::read_dir(home.path()).unwrap().flatten().map(|e| e.path());
        for pack in files.filter(|file| file.extension().is_some_and(|e| e == "pack")) {
            let mut octets = std::fs::read(&pack).unwrap();
            if let Some(at) = octets.windows(32).position(|w| w == digest) {
                octets[at + 1_000] ^= 1;
                std::fs::write(&pack, octets).unwrap();
                return;
            }
        }
    }
    panic!("no pack holds the document");
}

/// An archive that may be spoiled.
struct Archive {
    url: String,
    is_sqlite: bool,
}

/// Keeps a copy of every table of a database of PostgreSQL.
const KEEP: &str = "do $$ declare t text; begin
    create schema if not exists sound;
    for t in select tablename from pg_tables where schemaname = 'public' loop
        execute format('create table sound.%I as table public.%I', t, t);
    end loop; end $$";
/// Puts them back.
const PUT_BACK: &str = "do $$ declare t text; begin
    for t in select tablename from pg_tables where schemaname = 'sound' loop
        execute format('truncate public.%I cascade', t);
    end loop;
    for t in select tablename from pg_tables where schemaname = 'sound' order by 1 loop
        execute format('insert into public.%I overriding system value table sound.%I', t, t);
    end loop; end $$";

impl Archive {
    /// A copy of another; in PostgreSQL the other itself, sound again.
    fn copy(of: &str, place: &Path, n: usize) -> Self {
        let Some(from) = of.strip_prefix("sqlite://") else {
            query(of, if n == 0 { KEEP } else { PUT_BACK });
            return Self { url: of.to_owned(), is_sqlite: false };
        };
        let to = place.join(format!("{n}.db"));
        std::fs::copy(from, &to).unwrap();
        Self { url: format!("sqlite://{}", to.display()), is_sqlite: true }
    }

    fn spoil(&self, deed: &Deed) {
        let sqlite = self.is_sqlite;
        let (yes, no) = if sqlite { ("1", "0") } else { ("true", "false") };
        let octets = "5a".repeat(32);
        let octets = if sqlite { format!("x'{octets}'") } else { format!("'\\x{octets}'::bytea") };
        let id = "6c6f7374-0000-7000-8000-000000000000";
        let id =
            if sqlite { format!("x'{}'", id.replace('-', "")) } else { format!("'{id}'::uuid") };
        let write = |sql: &str| {
            let sql = sql.replace("{id}", &id).replace("{octets}", &octets);
            query(&self.url, &sql.replace("{yes}", yes).replace("{no}", no));
        };
        match deed {
            Sql(sql) => write(sql),
            State(phase, change, columns) => {
                let one = format!("(select min(seq) from deliveries where phase = '{phase}')");
                let text =
                    query(&self.url, &format!("select state from deliveries where seq = {one}"));
                let mut state: Value = serde_json::from_str(text.trim()).unwrap();
                change(&mut state);
                let and = if columns.is_empty() { "" } else { ", " };
                let state = state.to_string().replace('\'', "''");
                write(&format!(
                    "update deliveries set state = '{state}'{and}{columns} where seq = {one}"
                ));
            }
            Content(_) => {}
        }
    }
}

/// Runs a statement with the database's own tool.
fn query(url: &str, sql: &str) -> String {
    let output = match url.strip_prefix("sqlite://") {
        Some(file) => Command::new("sqlite3").arg(file).arg(sql).output().unwrap(),
        None => Command::new("psql")
            .args(["-qAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
            .output()
            .unwrap(),
    };
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn examine(config: &Config, url: &str, content: &Path) -> Report {
    let keys = Keys::read(config).unwrap();
    let store = exchange_store::open(url).await.unwrap();
    let shelf = Shelf::open(content).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let place = Place {
        node: &config.node.id,
        store: store.as_ref(),
        shelf: Some(&shelf),
        whole: true,
        storage: Some(&keys.storage),
        anchors: &keys.anchors,
        tsa_anchors: &keys.tsa_anchors,
        now: Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap()),
    };
    let report = fsck::examine(&place, &|_, _, _| ()).await.unwrap();
    store.close().await;
    report
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// A network in which a bit of everything has happened, at rest.
async fn ground(options: &[&str]) -> Net {
    let net = Net::up_with(options).unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let long = "long ".repeat(1_000);
    let taken = text_at(&sender.send_pdf("34172", &long).await.unwrap(), "/message_id");
    let item = town.wait_for(&taken).await.unwrap();
    let path = format!("/v1/inbox/{}", text_at(&item, "/delivery_id"));
    town.post(&format!("{path}/acknowledge"), &json!({})).await.unwrap();
    town.post(&format!("{path}/status"), &json!({ "status": "received" })).await.unwrap();
    let is_taken = |m: &Value| state(m) == "handed_over" && m.to_string().contains("received");
    sender.until(&taken, is_taken).await.unwrap();
    // In an anchor of its own: one that is missing between others is missed.
    let anchored = |m: &Value| !m.to_string().contains("\"anchored\":null");
    sender.until(&taken, anchored).await.unwrap();
    let document = sender.pdf(&long).await.unwrap();
    let consent = json!({ "recipients": [{ "cog": "34172" }], "process": "AEC",
        "documents": [{ "id": document }], "requested": { "consignment": "consent" } });
    let (_, refused) = sender.send(&consent).await.unwrap();
    let refused = text_at(&refused, "/message_id");
    let item = town.wait_for(&refused).await.unwrap();
    let path = format!("/v1/inbox/{}/refuse", text_at(&item, "/delivery_id"));
    town.post(&path, &json!({ "reason": "pas pour nous" })).await.unwrap();
    let unknown = json!({ "recipients": [{ "cog": "01001" }], "process": "AEC",
        "documents": [{ "id": sender.pdf("unknown").await.unwrap() }] });
    let (status, _) = sender.send(&unknown).await.unwrap();
    assert!(status.is_client_error(), "{status}");
    let waits = text_at(&sender.send_pdf("34172", &long).await.unwrap(), "/message_id");
    sender.until(&waits, |m| state(m) == "consigned").await.unwrap();
    sender.until(&refused, |m| state(m) == "refused").await.unwrap();
    let held = net.operate("etat", &["hold", "cd-34", "--reason", "audit"]).unwrap();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    let stays = text_at(&sender.send_pdf("34172", &long).await.unwrap(), "/message_id");
    assert_eq!(state(&sender.get(&format!("/v1/messages/{stays}")).await.unwrap()), "accepted");
    sender.until(&stays, anchored).await.unwrap();
    sender.until(&waits, anchored).await.unwrap();
    // A running node is sound, too.
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
    let dir = net.dir().display().to_string();
    assert!(net.run(&["localnet", "down", "--dir", &dir]).unwrap().status.success());
    net
}

async fn spoil_everything(net: &Net, is_sqlite: bool) {
    let place = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (node, cases) in [("etat", OF_ETAT), ("cd-34", OF_CD_34)] {
        let file: PathBuf = net.dir().join(node).join("node.toml");
        let config = Config::read(&file, std::env::vars()).unwrap();
        if is_sqlite {
            query(&config.store.url, "pragma wal_checkpoint(truncate)");
        }
        let digests = "select lower(hex(cipher_sha256)) from delivery_keys as k
            join deliveries as d on d.id = k.delivery where d.phase = 'handed_over'";
        for (n, (what, deed, expected)) in cases.iter().enumerate() {
            let archive = Archive::copy(&config.store.url, place.path(), n);
            archive.spoil(deed);
            let content = match deed {
                Content(spoil) if is_sqlite => {
                    let copy = place.path().join(format!("content-{n}"));
                    copy_all(&config.content.dir, &copy);
                    spoil(&copy, query(&archive.url, digests).trim());
                    copy
                }
                Content(_) => continue,
                _ => config.content.dir.clone(),
            };
            let report = examine(&config, &archive.url, &content).await;
            let found: BTreeSet<&str> = report.counts.keys().copied().collect();
            if found != expected.iter().copied().collect() {
                wrong.push(format!(
                    "{node}: {what}: {found:?} instead of {expected:?}: {:?}",
                    report.findings
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn whatever_disagrees_with_the_evidence_is_named_in_sqlite() {
    let net = ground(&[]).await;
    spoil_everything(&net, true).await;
    // An operator sees it, in both languages, and so does a script.
    let file = net.dir().join("etat/node.toml");
    let config = Config::read(&file, std::env::vars()).unwrap();
    query(
        &config.store.url,
        "update deliveries set custodian = 'nobody' where phase = 'consigned'",
    );
    let found = net.operate("etat", &["fsck", "--sizes"]).unwrap();
    assert_eq!(found.status.code(), Some(4));
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(said.starts_with("delivery-column  "), "{said}");
    assert!(said.contains("the column custodian says nobody, the state cd-34"), "{said}");
    let found = net.operate("etat", &["fsck", "--json"]).unwrap();
    let lines: Vec<Value> = String::from_utf8_lossy(&found.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["code"], "delivery-column");
    assert!(text_at(&lines[0], "/detail_fr").contains("la colonne custodian dit nobody"));
    assert_eq!(lines[1]["clean"], false);
    assert_eq!(lines[1]["codes"], json!({ "delivery-column": 1 }));
}

#[tokio::test]
async fn whatever_disagrees_with_the_evidence_is_named_in_postgresql() {
    let Ok(server) = std::env::var("PLI_TEST_PG") else {
        return skipped("the auditor on PostgreSQL", "PLI_TEST_PG is not set");
    };
    let net = ground(&["--store", &server]).await;
    spoil_everything(&net, false).await;
}
