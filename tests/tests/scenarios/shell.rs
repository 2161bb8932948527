//! A member who works from a shell: every verb of `interfaces.md` section 2 that is a member's, its
//! JSON, its words in both languages, and its exit code.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tests::judges;
use tests::net::{Net, text_at};

const STATE: &str = "etat/12345678200010";
const TOWN: &str = "cd-34/34172";

struct Shell<'a> {
    net: &'a Net,
}

impl Shell<'_> {
    fn run(&self, member: &str, args: &[&str], lang: &str) -> Output {
        let dir = self.net.dir().display().to_string();
        let base = ["--net", &dir, "--as", member];
        let pli = tests::net::pli().unwrap();
        let mut command = std::process::Command::new(pli);
        command.args(args).args(base).env("PLI_LANG", lang).output().unwrap()
    }

    /// Must succeed; each line of JSON that it prints.
    fn json(&self, member: &str, args: &[&str]) -> Vec<Value> {
        let output = self.run(member, &[args, &["--json"]].concat(), "en");
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {talk}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}")))
            .collect()
    }

    /// The words for people: on standard output, in one language and in the other.
    fn words(&self, member: &str, args: &[&str]) -> (String, String) {
        let said = |lang| {
            let output = self.run(member, args, lang);
            assert_eq!(output.status.code(), Some(0), "{args:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        (said("en"), said("fr"))
    }

    /// Must fail so; what it says in English and in French, and its JSON.
    fn fails(&self, member: &str, args: &[&str], code: i32) -> (String, String, String) {
        let said = |lang| {
            let output = self.run(member, args, lang);
            let talk = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {talk}");
            assert!(output.stdout.is_empty(), "{args:?}: talk goes to standard error");
            talk
        };
        let json = self.run(member, &[args, &["--json"]].concat(), "en");
        assert_eq!(json.status.code(), Some(code), "{args:?} --json");
        (said("en"), said("fr"), String::from_utf8(json.stdout).unwrap())
    }
}

fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "{field} is missing in {value}");
    }
}

const STEP: [&str; 7] = ["event", "code", "at", "node", "evidence_id", "sealed", "anchored"];

#[tokio::test]
async fn a_member_in_a_shell_receives_follows_and_proves_a_message() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = state.send_pdf("34172", "from a shell").await.unwrap();
    let id = text_at(&sent, "/message_id");
    town.wait_for(&id).await.unwrap();
    let shell = Shell { net: &net };
    let delivery = the_inbox(&shell, &net.dir());
    state.until(&id, |m| m["deliveries"][0]["state"] == "handed_over").await.unwrap();
    the_sender_follows(&shell, &id);
    the_proofs(&shell, &net, &id);
    refusals_and_faults(&shell, &delivery);
}

/// `inbox list`, `inbox get`, `inbox ack`.
fn the_inbox(shell: &Shell<'_>, dir: &Path) -> String {
    let items = shell.json(TOWN, &["inbox", "list"]);
    assert_eq!(items.len(), 1);
    let fields =
        ["delivery_id", "message_id", "process", "sender", "documents", "state", "consigned_at"];
    has(&items[0], &fields);
    let delivery = text_at(&items[0], "/delivery_id");
    let (en, fr) = shell.words(TOWN, &["inbox", "list"]);
    assert!(en.contains(&delivery) && en == fr, "a table of data: {en}");
    let place = dir.join("saved");
    let got = shell.json(TOWN, &["inbox", "get", &delivery, "-o", &place.display().to_string()]);
    assert_eq!(got[0]["delivery_id"], items[0]["delivery_id"]);
    let saved = std::fs::read(place.join("acte.pdf")).unwrap();
    let sum = signing::digest::sha256(&saved).to_string();
    assert_eq!(text_at(&got[0], "/documents/0/sha256"), sum);
    let first = shell.json(TOWN, &["inbox", "ack", &delivery]);
    has(&first[0], &["delivery_id", "state", "evidence"]);
    has(&first[0]["evidence"], &STEP);
    assert_eq!(first[0]["state"], "handed_over");
    let again = shell.json(TOWN, &["inbox", "ack", &delivery]);
    assert_eq!(again[0]["evidence"]["evidence_id"], first[0]["evidence"]["evidence_id"]);
    let nothing = shell.run(TOWN, &["inbox", "list"], "fr");
    assert_eq!(String::from_utf8_lossy(&nothing.stderr).trim(), "Rien n'attend.");
    delivery
}

/// `messages list`, `trace`, `explain`.
fn the_sender_follows(shell: &Shell<'_>, id: &str) {
    let all = shell.json(STATE, &["messages", "list"]);
    has(&all[0], &["message_id", "process", "sender", "documents", "deliveries", "submitted_at"]);
    assert_eq!(text_at(&all[0], "/message_id"), id);
    assert!(shell.json(STATE, &["messages", "list", "--state", "expired"]).is_empty());
    let trace = shell.json(STATE, &["trace", id]).remove(0);
    assert_eq!(text_at(&trace, "/message_id"), id);
    let one = &trace["deliveries"][0];
    has(one, &["recipient", "state", "custodian", "next_due", "steps"]);
    let steps = one["steps"].as_array().unwrap();
    steps.iter().for_each(|step| has(step, &STEP));
    let events: Vec<_> = steps.iter().map(|s| text_at(s, "/event")).collect();
    assert_eq!(events.first().unwrap(), "SubmissionAcceptance");
    assert_eq!(events.last().unwrap(), "ContentHandover");
    let (en, fr) = shell.words(STATE, &["trace", id]);
    assert!(en.contains("evidence ") && fr.contains("preuve "), "{en}{fr}");
    let (en, fr) = shell.words(STATE, &["explain", id]);
    assert!(en.contains("submitted this message") && fr.contains("a déposé ce pli"), "{en}{fr}");
    let (en, fr) = shell.words(STATE, &["explain", "recipient-unknown"]);
    assert!(en.contains("not in the directory") && fr.contains("dans l'annuaire"), "{en}{fr}");
    let told = shell.json(STATE, &["explain", "D.1"]).remove(0);
    assert!(told.to_string().contains("ContentConsignment"), "{told}");
}

/// `evidence list`, `show`, `export`, `proof`, and what `verify` says of them.
fn the_proofs(shell: &Shell<'_>, net: &Net, id: &str) {
    let steps = shell.json(STATE, &["evidence", "list", id]);
    steps.iter().for_each(|step| has(step, &STEP));
    let evidence = text_at(&steps[0], "/evidence_id");
    let shown = shell.json(STATE, &["evidence", "show", &evidence]).remove(0);
    assert!(text_at(&shown, "/EvidenceIdentifier").contains(&evidence), "{shown}");
    let file = net.dir().join("a1.p7m");
    let path = file.display().to_string();
    let written = shell.json(STATE, &["evidence", "export", &evidence, "-o", &path]).remove(0);
    assert_eq!(written["size"], std::fs::metadata(&file).unwrap().len());
    let content = judges::openssl_cms(&file, &net.root()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&content).unwrap(), shown);
    let xml = shell.run(STATE, &["evidence", "export", &evidence, "--format", "xml"], "en");
    assert!(String::from_utf8_lossy(&xml.stdout).contains("EvidenceIdentifier"));
    let bundle = net.dir().join("b.asice");
    let path = bundle.display().to_string();
    let proof = shell.json(STATE, &["proof", id, "-o", &path]).remove(0);
    has(&proof, &["bundle", "size"]);
    let root = net.root().display().to_string();
    let tsa = net.dir().join("trust/tsa.pem").display().to_string();
    let verify = |json: bool| {
        let args = ["verify", &path, "--trust", &root, "--trust", &tsa, "--json"];
        net.run(if json { &args } else { &args[..6] }).unwrap()
    };
    assert_eq!(verify(false).status.code(), Some(0));
    let verdict: Value = serde_json::from_slice(&verify(true).stdout).unwrap();
    has(&verdict, &["valid", "verdict", "checked_at", "elements"]);
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    assert_eq!(verify(false).status.code(), Some(4), "a proof that is not valid");
    let verdict: Value = serde_json::from_slice(&verify(true).stdout).unwrap();
    assert_eq!(verdict["valid"], false);
}

fn refusals_and_faults(shell: &Shell<'_>, delivery: &str) {
    let unknown = "019ab04e-7f28-7cc3-98c4-dc0c0c07398f";
    // 3: a rule refuses; the problem is printed.
    let not_found: [&[&str]; 5] = [
        &["trace", unknown],
        &["inbox", "ack", unknown],
        &["evidence", "list", unknown],
        &["evidence", "show", unknown],
        &["proof", unknown, "-o", "/nowhere/x.asice"],
    ];
    for args in not_found {
        let (en, fr, json) = shell.fails(STATE, args, 3);
        assert!(en.contains("There is no such thing here.") && fr.contains("n'existe pas ici"));
        let problem: Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(problem["code"], "not-found", "{args:?}");
    }
    // What belongs to another member is not found either.
    shell.fails(STATE, &["inbox", "get", delivery], 3);
    // 2: wrong usage.
    let wrong: [&[&str]; 3] =
        [&["trace", "not-an-id"], &["inbox", "get"], &["explain", "no-such-code"]];
    for args in wrong {
        let output = shell.run(STATE, args, "fr");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(shell.run("etat/nobody", &["inbox", "list"], "en").status.code(), Some(2));
    // 1: a fault, here of the network.
    let pli = tests::net::pli().unwrap();
    let away = ["--url", "http://127.0.0.1:9", "--client-id", "x", "--client-secret", "y"];
    let mut command = std::process::Command::new(pli);
    let output = command.args(["inbox", "list"]).args(away).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
