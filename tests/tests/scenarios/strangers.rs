//! (c) Dispatches that a node must not believe: caught on the backbone on their way, sealed anew by
//! somebody else, and laid back.
//!
//! ```text
//!   etat -----> national --x--> [this test] -----> cd-34 -----> etat: B.2
//! ```

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_adapter::{Backbone, Destination, Frame, Lane, Options, Outcome};
use bytes::Bytes;
use exchange_node::inbound::kept::Kept;
use exchange_store::rows::QueueQuery;
use schemas::bytes::Octets;
use schemas::frame::{self, DispatchFrame};
use schemas::ids::NodeId;
use schemas::time::{DAY, SECOND, Timestamp};
use serde_json::Value;
use signing::authority::{Authority, AuthorityName, Profile, Subject};
use signing::seal::{Sealer, open};
use signing::signer::Algorithm;
use tests::net::{Api, Net, SOON, events, pli, state, text_at};

/// A dispatch for `cd-34`, taken from its lane while that node was down.
struct Caught {
    net: Net,
    sender: Api,
    message: String,
    backbone: Arc<dyn Backbone>,
    frame: Frame,
}

fn now() -> Timestamp {
    use exchange_node::clock::Clock as _;
    exchange_node::clock::system().now()
}

fn lane() -> Destination {
    Destination { node: "cd-34".parse().unwrap(), lane: Lane::Message }
}

impl Caught {
    async fn one() -> Self {
        let net = Net::up().unwrap();
        let sender = net.state().await.unwrap();
        net.kill("cd-34").unwrap();
        let sent = sender.send_pdf("34172", "to be caught").await.unwrap();
        let url = format!("embedded://{}", net.dir().join("backbone.db").display());
        let backbone = broker_adapter::open(&url, Options::default()).await.unwrap();
        let node: NodeId = "cd-34".parse().unwrap();
        let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
        let mut got = tokio::time::timeout(SOON, reader.next(1)).await.unwrap().unwrap();
        let received = got.remove(0);
        reader.ack(vec![received.receipt]).await.unwrap();
        let message = text_at(&sent, "/message_id");
        Self { net, sender, message, backbone, frame: received.frame }
    }

    /// Lays the frame back, its dispatch as `change` makes it, and starts `cd-34`.
    async fn deliver(&self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let mut body: DispatchFrame = frame::decode(&self.frame.body).unwrap();
        body.dispatch = Octets(change(body.dispatch.0));
        let frame = Frame { body: Bytes::from(frame::encode(&body)), ..self.frame.clone() };
        let outcomes = self.backbone.publish(vec![(lane(), frame)]).await;
        assert_eq!(outcomes, [Outcome::Confirmed]);
        self.net.start(&[]).unwrap();
    }

    /// Lays the spoiled frames before the true one: they are set aside with this code, or wait, and
    /// the delivery goes its way as if they had never been.
    async fn counts_behind(&self, spoiled: &[DispatchFrame], code: &str) {
        let spoiled = spoiled.iter().enumerate().map(|(n, body)| {
            let body = Bytes::from(frame::encode(body));
            Frame { id: format!("spoiled-{n}"), body, ..self.frame.clone() }
        });
        let frames: Vec<_> = spoiled.chain([self.frame.clone()]).map(|f| (lane(), f)).collect();
        let aside = if code.is_empty() { 0 } else { frames.len() - 1 };
        let confirmed = vec![Outcome::Confirmed; frames.len()];
        assert_eq!(self.backbone.publish(frames).await, confirmed);
        self.net.start(&[]).unwrap();
        let item = self.net.town().await.unwrap().wait_for(&self.message).await.unwrap();
        assert_eq!(item["documents"].as_array().map(Vec::len), Some(1), "{item}");
        let end = self.sender.until(&self.message, |m| state(m) == "consigned").await.unwrap();
        assert_eq!(events(&end), ["SubmissionAcceptance", "RelayAcceptance", "ContentConsignment"]);
        let config = config(&self.net, "cd-34");
        let list = self.net.run(&["queue", "list", "--config", &config, "--json"]).unwrap();
        let said = String::from_utf8(list.stdout).unwrap();
        assert_eq!(said.lines().filter(|l| l.contains("set-aside")).count(), aside, "{said}");
        assert_eq!(said.matches(&format!("\"{code}: ")).count(), aside, "{said}");
        for node in ["cd-34", "etat"] {
            self.net.fsck(node).unwrap();
        }
    }

    /// The sender has a sealed refusal with this code, the recipient has nothing.
    async fn is_refused(&self, code: &str) {
        let end = self.sender.until(&self.message, |m| state(m) == "relay_failed").await.unwrap();
        assert_eq!(events(&end), ["SubmissionAcceptance", "RelayRejection", "RelayFailure"]);
        let refusal = text_at(&end, "/deliveries/0/evidence/1/evidence_id");
        let evidence = evidence(&self.sender, &refusal).await;
        let details = &evidence["EventReasons"]["EventReason"][0]["Details"];
        assert!(details.to_string().contains(code), "{code}: {details}");
        let inbox = self.net.town().await.unwrap().get("/v1/inbox").await.unwrap();
        assert_eq!(inbox["items"].as_array().unwrap().len(), 0, "{inbox}");
        self.net.fsck("cd-34").unwrap();
        self.net.fsck("etat").unwrap();
    }
}

async fn evidence(api: &Api, id: &str) -> Value {
    let request = api.request(reqwest::Method::GET, &format!("/v1/evidence/{id}"));
    api.answer(request.header("Accept", "application/json")).await.unwrap().1
}

/// What somebody else seals: the same content, by a key of this authority and profile.
fn sealed_by(authority: &mut Authority, profile: &Profile, life: i64, p7m: &[u8]) -> Vec<u8> {
    let mut subject = Subject::named("etat");
    subject.organization = Some("Agence nationale des échanges".to_owned());
    let at = now();
    let enrolled =
        authority.enrol(profile, &subject, Algorithm::EcdsaP256Sha256, at, at.plus(life)).unwrap();
    let sealer = Sealer::new(enrolled.key, enrolled.chain, authority.crl(at).unwrap()).unwrap();
    sealer.seal(&open(p7m).unwrap().content, at, None).unwrap().der
}

/// The authority of the network itself.
fn own_authority(net: &Net) -> Authority {
    Authority::from_dir(&net.dir().join("authority/ca")).unwrap()
}

#[tokio::test]
async fn c9_a_seal_of_an_unknown_authority_is_refused_with_evidence() {
    let caught = Caught::one().await;
    let name = AuthorityName {
        subject: Subject::named("Autorité inconnue"),
        base_url: "http://pki.invalid".to_owned(),
    };
    let mut stranger = Authority::create(name, now()).unwrap();
    caught.deliver(|p7m| sealed_by(&mut stranger, &Profile::Seal, DAY, &p7m)).await;
    caught.is_refused("certificate-invalid").await;
}

#[tokio::test]
async fn c9_a_certificate_for_another_usage_is_refused_with_evidence() {
    let caught = Caught::one().await;
    let mut authority = own_authority(&caught.net);
    caught.deliver(|p7m| sealed_by(&mut authority, &Profile::Encryption, DAY, &p7m)).await;
    caught.is_refused("certificate-invalid").await;
}

#[tokio::test]
async fn c9_an_expired_certificate_is_refused_with_evidence() {
    let caught = Caught::one().await;
    let mut authority = own_authority(&caught.net);
    let forge = |p7m: Vec<u8>| {
        let sealed = sealed_by(&mut authority, &Profile::Seal, SECOND, &p7m);
        // Its time has to pass for real: certificates have whole seconds.
        let end = Instant::now() + Duration::from_millis(2_100);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        sealed
    };
    caught.deliver(forge).await;
    caught.is_refused("certificate-invalid").await;
}

#[tokio::test]
async fn c9_a_key_that_the_directory_does_not_know_is_refused_with_evidence() {
    let caught = Caught::one().await;
    let mut authority = own_authority(&caught.net);
    caught.deliver(|p7m| sealed_by(&mut authority, &Profile::Seal, DAY, &p7m)).await;
    caught.is_refused("seal-invalid").await;
}

/// Nobody has said this: it is kept for the operator, answered to nobody, and takes no place of
/// what the sender's node really said.
#[tokio::test]
async fn a_seal_that_does_not_fit_its_content_is_set_aside_and_the_true_one_goes_through() {
    let caught = Caught::one().await;
    let forge = |mut p7m: Vec<u8>| {
        let place = p7m.windows(5).position(|w| w == b"\"AEC\"").unwrap();
        p7m[place + 1] = b'B';
        p7m
    };
    caught.deliver(forge).await;
    let end = Instant::now() + SOON;
    let listed = loop {
        let args = ["queue", "list", "--json", "--config", &config(&caught.net, "cd-34")];
        let listed = caught.net.run(&args).unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        if listed.contains("set-aside") {
            break listed;
        }
        assert!(Instant::now() < end, "{listed}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(listed.contains("seal"), "{listed}");
    let message = caught.sender.get(&format!("/v1/messages/{}", caught.message)).await.unwrap();
    assert_eq!(events(&message), ["SubmissionAcceptance"]);
    caught.deliver(|p7m| p7m).await;
    caught.sender.until(&caught.message, |m| state(m) == "consigned").await.unwrap();
    caught.net.fsck("cd-34").unwrap();
}

/// What an operator has looked at again is whole: the true frame goes through as if it came now, and
/// the false one is kept, with the reason.
#[tokio::test]
async fn a_frame_set_aside_is_kept_whole_and_looked_at_again() {
    let caught = Caught::one().await;
    let mut body: DispatchFrame = frame::decode(&caught.frame.body).unwrap();
    let place = body.dispatch.0.windows(5).position(|w| w == b"\"AEC\"").unwrap();
    body.dispatch.0[place + 1] = b'B';
    let forged = Frame { body: Bytes::from(frame::encode(&body)), ..caught.frame.clone() };
    let store = caught.net.dir().join("cd-34/node.db");
    let store = exchange_store::open(&format!("sqlite://{}", store.display())).await.unwrap();
    let aside = |frame: &Frame| exchange_store::rows::SetAside {
        frame_id: frame.id.clone(),
        lane: Lane::Message.to_string(),
        source: "urn:pli:node:etat".to_owned(),
        code: "peer-unknown".to_owned(),
        detail: "not in the directory of yesterday".to_owned(),
        body: frame.body.to_vec(),
        frame: Kept::of(Lane::Message, frame).to_bytes(),
        at: now(),
    };
    store.set_aside(&[aside(&caught.frame), aside(&forged)]).await.unwrap();
    let query = QueueQuery { to: None, after: 0, limit: 9 };
    let rows = store.queue(&query).await.unwrap();
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    store.close().await;
    caught.net.start(&[]).unwrap();
    let config = config(&caught.net, "cd-34");
    let redrive = |id: &str| {
        let args = ["queue", "redrive", id, "--reason", "a new directory", "--config", &config];
        let done = caught.net.run(&args).unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let listed = || {
        let args = ["queue", "list", "--json", "--config", &config];
        String::from_utf8(caught.net.run(&args).unwrap().stdout).unwrap()
    };
    let size = rows[1].size;
    for _ in 0..2 {
        redrive(&ids[1]);
        let end = Instant::now() + SOON;
        while !listed().contains("\"state\":\"dead\"") {
            assert!(Instant::now() < end, "{}", listed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(listed().contains("seal-invalid"), "{}", listed());
        assert!(listed().contains(&format!("\"size\":{size}")), "{}", listed());
    }
    redrive(&ids[0]);
    caught.sender.until(&caught.message, |m| state(m) == "consigned").await.unwrap();
    assert!(!listed().contains("set-aside"), "{}", listed());
    caught.net.fsck("cd-34").unwrap();
}

/// A node of its own process, stopped with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `etat` again, its clock moved by so many milliseconds.
async fn etat_with_clock(net: &Net, offset: &str) -> (Running, tests::net::Api) {
    net.kill("etat").unwrap();
    let config = net.dir().join("etat/node.toml");
    let mut command = Command::new(pli().unwrap());
    command.args(["node", "run", "--config"]).arg(&config);
    command.env("PLI_CLOCK_OFFSET_MS", offset).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let end = Instant::now() + SOON;
    loop {
        match net.state().await {
            Ok(api) => return (running, api),
            Err(why) => assert!(Instant::now() < end, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_clock_wrong_by_ten_minutes_is_noticed_and_said() {
    let net = Net::up().unwrap();
    // One that is as much behind does not start here: its certificates are not valid yet.
    let (_wrong, api) = etat_with_clock(&net, "600000").await;
    let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
    let ready: serde_json::Value = answer.json().await.unwrap();
    let all = ready["dependencies"].as_array().unwrap();
    let clock = all.iter().find(|d| d["name"] == "clock").unwrap();
    assert_eq!(clock["ready"], false);
    let reason = text_at(clock, "/reason");
    assert!(reason.contains("ahead of") && reason.contains(", since 20"), "{reason}");
    let off: i64 = reason.split(' ').next().unwrap().parse().unwrap();
    assert!((595..=605).contains(&off), "{reason}");
    let config = net.dir().join("etat/node.toml");
    let mut doctor = Command::new(pli().unwrap());
    doctor.args(["node", "doctor", "--json", "--config"]).arg(&config);
    let said = doctor.env("PLI_CLOCK_OFFSET_MS", "600000").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let line = said.lines().find(|l| l.contains(r#""name":"clock""#)).unwrap();
    assert!(line.contains(r#""ok":false"#) && line.contains("NTP"), "{line}");
}

#[tokio::test]
async fn c10_a_clock_that_is_more_than_five_minutes_ahead_is_refused() {
    let net = Net::up().unwrap();
    let (_ahead, sender) = etat_with_clock(&net, "600000").await;
    let sent = sender.send_pdf("34172", "from the future").await.unwrap();
    let id = text_at(&sent, "/message_id");
    let town = net.town().await.unwrap();
    let end = sender.until(&id, |m| state(m) == "relay_failed").await.unwrap();
    let refusal = text_at(&end, "/deliveries/0/evidence/1/evidence_id");
    let details = evidence(&sender, &refusal).await["EventReasons"].to_string();
    assert!(details.contains("timestamp-out-of-range"), "{details}");
    assert_eq!(town.get("/v1/inbox").await.unwrap()["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn c14_evidence_is_never_the_subject_of_evidence() {
    let net = Net::up().unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let id = text_at(&sender.send_pdf("34172", "one").await.unwrap(), "/message_id");
    let item = town.wait_for(&id).await.unwrap();
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    town.post(&path, &serde_json::json!({})).await.unwrap();
    sender.until(&id, |m| state(m) == "handed_over").await.unwrap();
    // Lanes keep their order: when a later message is through, nothing of the first one is left.
    let later = text_at(&sender.send_pdf("34172", "two").await.unwrap(), "/message_id");
    sender.until(&later, |m| state(m) == "consigned").await.unwrap();
    let whole = sender.get(&format!("/v1/messages/{id}")).await.unwrap();
    let names =
        ["SubmissionAcceptance", "RelayAcceptance", "ContentConsignment", "ContentHandover"];
    assert_eq!(events(&whole), names);
    for step in whole["deliveries"][0]["evidence"].as_array().unwrap() {
        let evidence = evidence(&sender, &text_at(step, "/evidence_id")).await;
        assert_eq!(evidence["MessageIdentifier"].as_str(), Some(id.as_str()), "{evidence}");
    }
    // Each node holds these seven evidences and two dispatches, and none about another.
    for node in ["etat", "cd-34"] {
        let found = net.run(&["fsck", "--json", "--config", &config(&net, node)]).unwrap();
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(found["objects"].as_u64(), Some(4 + 3 + 2), "{node}: {found}");
    }
}

fn config(net: &Net, node: &str) -> String {
    net.dir().join(node).join("node.toml").display().to_string()
}

/// Of every part of a large document the broker lays a spoiled copy beside it, before and after:
/// each is set aside, and the document arrives whole.
#[tokio::test]
async fn spoiled_parts_of_a_large_document_are_set_aside_and_the_true_ones_arrive() {
    let net = Net::up().unwrap();
    let sender = net.state().await.unwrap();
    net.kill("cd-34").unwrap();
    let content = format!("%PDF-1.4\n{}\n%%EOF\n", "large ".repeat(250_000));
    let (_, document) =
        sender.upload("a.pdf", "application/pdf", content.as_bytes()).await.unwrap();
    let body = serde_json::json!({ "recipients": [{ "cog": "34172" }], "process": "URBA",
        "documents": [{ "id": document["id"] }] });
    let (_, sent) = sender.send(&body).await.unwrap();
    let message = text_at(&sent, "/message_id");
    sender.until(&message, |m| state(m) == "relaying").await.unwrap();
    let url = format!("embedded://{}", net.dir().join("backbone.db").display());
    let backbone = broker_adapter::open(&url, Options::default()).await.unwrap();
    let lane = Destination { node: "cd-34".parse().unwrap(), lane: Lane::Content };
    let mut reader = backbone.subscribe(&lane.node, Lane::Content).await.unwrap();
    let mut caught = Vec::new();
    while caught.len() < 3 {
        let got = tokio::time::timeout(SOON, reader.next(8)).await.unwrap().unwrap();
        for received in got {
            reader.ack(vec![received.receipt]).await.unwrap();
            caught.push(received.frame);
        }
    }
    drop(reader);
    let spoiled = |frame: &Frame, n: usize| {
        let mut bytes = frame.body.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Frame { id: format!("{}-{n}", frame.id), body: Bytes::from(bytes), ..frame.clone() }
    };
    let frames: Vec<_> = caught
        .iter()
        .flat_map(|frame| [spoiled(frame, 1), frame.clone(), spoiled(frame, 2)])
        .map(|frame| (lane.clone(), frame))
        .collect();
    let count = frames.len();
    assert_eq!(backbone.publish(frames).await, vec![Outcome::Confirmed; count]);
    net.start(&[]).unwrap();
    let town = net.town().await.unwrap();
    let item = town.wait_for(&message).await.unwrap();
    let delivery = text_at(&item, "/delivery_id");
    let path = format!("/v1/inbox/{delivery}/documents/{}", text_at(&item, "/documents/0/id"));
    assert_eq!(town.bytes(&path).await.unwrap(), content.as_bytes());
    let config = net.dir().join("cd-34/node.toml").display().to_string();
    let list = net.run(&["queue", "list", "--config", &config, "--json"]).unwrap();
    let said = String::from_utf8(list.stdout).unwrap();
    assert_eq!(said.matches("document-corrupted").count(), 2 * caught.len(), "{said}");
}

/// The certificates of authorities and the revocation lists that a seal brings along are not covered
/// by its signature. Whoever spoils them does not end the delivery: the true frame counts.
#[tokio::test]
async fn a_seal_spoiled_beside_its_signature_is_set_aside_and_the_true_one_counts() {
    let caught = Caught::one().await;
    let body: DispatchFrame = frame::decode(&caught.frame.body).unwrap();
    let p7m = &body.dispatch.0;
    // The revocation lists stand behind the certificates; both before the signature.
    let crl = std::fs::read_dir(caught.net.dir().join("authority/published")).unwrap();
    let crl = crl.flatten().find(|e| e.path().extension().is_some_and(|x| x == "crl")).unwrap();
    let crl = std::fs::read(crl.path()).unwrap();
    let at = p7m.windows(60).position(|w| w == &crl[crl.len() - 60..]).unwrap();
    let mut spoiled = body.clone();
    spoiled.dispatch.0[at + 50] ^= 1;
    caught.counts_behind(&[spoiled], "certificate-invalid").await;
}

/// What stands beside the sealed dispatch in its frame is sealed by nobody: a ciphertext that was
/// changed, doubled or exchanged on the way is no node's fault, and ends no delivery.
#[tokio::test]
async fn ciphertexts_spoiled_in_their_frame_are_set_aside_and_the_true_ones_count() {
    let caught = Caught::one().await;
    let body: DispatchFrame = frame::decode(&caught.frame.body).unwrap();
    assert_eq!(body.inline.len(), 1, "it travels inside its frame");
    let [mut flipped, mut cut, mut doubled, mut other] = [(); 4].map(|()| body.clone());
    flipped.inline[0].0[40] ^= 1;
    cut.inline[0].0.pop();
    doubled.inline.push(body.inline[0].clone());
    other.inline[0] = Octets(b"something else".to_vec());
    caught.counts_behind(&[flipped, cut, doubled, other], "document-corrupted").await;
}

/// Whoever takes the ciphertexts out of a frame delays the dispatch, until the true one comes.
#[tokio::test]
async fn ciphertexts_taken_out_of_their_frame_come_with_the_true_one() {
    let caught = Caught::one().await;
    let mut without: DispatchFrame = frame::decode(&caught.frame.body).unwrap();
    without.inline.clear();
    caught.counts_behind(&[without], "").await;
}
