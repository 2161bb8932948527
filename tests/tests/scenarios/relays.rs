//! A town with a node of its own behind the departmental one, which relays between two backbones.
//!
//! ```text
//!   etat ---- national ---- cd-34 ---- departement ---- ville-34172
//!    |                        |                              |
//!   Service central      Saint-Guilhem                  Montpellier
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use broker_adapter::{Destination, Frame, Lane, Options, Outcome};
use bytes::Bytes;
use schemas::frame::{self, DispatchFrame};
use serde_json::json;
use tests::net::{Api, Net, SOON, events, state, text_at};

fn chained() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
    file.display().to_string()
}

fn up(roads: &[&str]) -> Net {
    let topology = chained();
    let mut options = vec!["--topology", &topology];
    for road in roads {
        options.extend(["--backbone", road]);
    }
    Net::up_with(&options).unwrap()
}

/// Who sealed what, in the order in which the sender's node holds it.
fn issuers(message: &serde_json::Value) -> Vec<(String, String)> {
    let steps = message["deliveries"][0]["evidence"].as_array().unwrap();
    steps.iter().map(|s| (text_at(s, "/code"), text_at(s, "/node"))).collect()
}

/// The sealed files of a message at a node, by id.
async fn sealed(api: &Api, message: &str) -> BTreeMap<String, Vec<u8>> {
    let list = api.get(&format!("/v1/messages/{message}/evidence")).await.unwrap();
    let mut files = BTreeMap::new();
    for step in list["items"].as_array().unwrap() {
        let id = text_at(step, "/evidence_id");
        files.insert(id.clone(), api.bytes(&format!("/v1/evidence/{id}")).await.unwrap());
    }
    files
}

/// One message each way, small and large; every hop is evidenced, at every node with the same
/// bytes, and the relay keeps no content.
async fn there_and_back(net: &Net) {
    let (agency, town) = (net.state().await.unwrap(), net.member(2, 0).await.unwrap());
    for size in [1_000, 1_500_000] {
        let content = format!("%PDF-1.4\n{}\n%%EOF\n", "acte ".repeat(size / 5));
        let (_, document) =
            agency.upload("acte.pdf", "application/pdf", content.as_bytes()).await.unwrap();
        let body = json!({ "recipients": [{ "cog": "34172" }], "process": "URBA",
            "documents": [{ "id": document["id"] }] });
        let (_, sent) = agency.send(&body).await.unwrap();
        let id = text_at(&sent, "/message_id");
        let item = town.wait_for(&id).await.unwrap();
        let delivery = text_at(&item, "/delivery_id");
        let path = format!("/v1/inbox/{delivery}/documents/{}", text_at(&item, "/documents/0/id"));
        assert_eq!(town.bytes(&path).await.unwrap(), content.as_bytes());
        town.post(&format!("/v1/inbox/{delivery}/acknowledge"), &json!({})).await.unwrap();
        let whole = |m: &serde_json::Value| state(m) == "handed_over" && events(m).len() == 5;
        let done = agency.until(&id, whole).await.unwrap();
        let named = |code: &str, node: &str| (code.to_owned(), node.to_owned());
        let said: BTreeSet<_> = issuers(&done).into_iter().collect();
        let expected = [
            named("RA01", "etat"),
            named("RB01", "cd-34"),
            named("RB01", "ville-34172"),
            named("RD01", "ville-34172"),
            named("RE01", "ville-34172"),
        ];
        assert_eq!(said, expected.into_iter().collect());
        assert_eq!(text_at(&done, "/deliveries/0/custodian"), "ville-34172");
        // Invariant 5: what the relay forwarded is what the town's node issued.
        let (first, last) = (sealed(&agency, &id).await, sealed(&town, &id).await);
        assert_eq!(first, last);
        let bundle = net.dir().join("proof.asice");
        agency.proof(&id, &bundle).await.unwrap();
        let (bundle, root, dir) = (bundle.display().to_string(), net.root(), net.dir());
        let (root, tsa) = (root.display().to_string(), dir.join("trust/tsa.pem"));
        let args = ["verify", &bundle, "--trust", &root, "--trust", &tsa.display().to_string()];
        let verdict = net.run(&args).unwrap();
        assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
    }
    let sent = town.pdf("réponse").await.unwrap();
    let body = json!({ "recipients": [{ "scheme": "iso6523:0009", "id": agency.siret }],
        "process": "AEC", "documents": [{ "id": sent }] });
    let (_, answer) = town.send(&body).await.unwrap();
    let id = text_at(&answer, "/message_id");
    agency.wait_for(&id).await.unwrap();
    town.until(&id, |m| state(m) == "consigned").await.unwrap();
    for node in ["etat", "cd-34", "ville-34172"] {
        net.fsck(node).unwrap();
    }
}

#[tokio::test]
async fn a_relay_hands_on_what_it_cannot_read_and_every_hop_is_evidenced() {
    there_and_back(&up(&[])).await;
}

#[tokio::test]
async fn the_same_from_a_national_kafka_to_a_departmental_rabbitmq() {
    let (Ok(kafka), Ok(amqp)) = (std::env::var("PLI_TEST_KAFKA"), std::env::var("PLI_TEST_AMQP"))
    else {
        return tests::net::skipped("Kafka to RabbitMQ", "PLI_TEST_KAFKA, PLI_TEST_AMQP");
    };
    there_and_back(&up(&[&format!("national={kafka}"), &format!("departement={amqp}")])).await;
}

/// The relay is killed again and again while messages pass both ways.
#[tokio::test]
async fn a9_a_relay_killed_again_and_again_loses_and_doubles_nothing() {
    let net = up(&[]);
    let topology = chained();
    let options = ["--topology", topology.as_str()];
    let (agency, town) = (net.state().await.unwrap(), net.member(2, 0).await.unwrap());
    let mut sent = BTreeSet::new();
    for n in 0..30 {
        match n % 10 {
            3 => net.kill("cd-34").unwrap(),
            5 => net.start(&options).unwrap(),
            _ => {}
        }
        let message = agency.send_pdf("34172", &format!("pli {n}")).await.unwrap();
        sent.insert(text_at(&message, "/message_id"));
    }
    for id in &sent {
        agency.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    let inbox = town.get("/v1/inbox?limit=200&after=s0").await.unwrap();
    let items = inbox["items"].as_array().unwrap();
    let held: Vec<String> = items.iter().map(|i| text_at(i, "/message_id")).collect();
    assert_eq!(held.len(), sent.len());
    assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), sent);
    for node in ["etat", "cd-34", "ville-34172"] {
        net.fsck(node).unwrap();
    }
}

/// A town whose node is away: the departmental node has it, and says so; when the town is back, it
/// goes on by itself.
#[tokio::test]
async fn the_relay_is_the_custodian_while_the_town_is_away() {
    let net = up(&[]);
    let topology = chained();
    let agency = net.state().await.unwrap();
    net.kill("ville-34172").unwrap();
    let sent = agency.send_pdf("34172", "plus tard").await.unwrap();
    let id = text_at(&sent, "/message_id");
    let held = agency.until(&id, |m| state(m) == "relayed").await.unwrap();
    assert_eq!(text_at(&held, "/deliveries/0/custodian"), "cd-34");
    net.start(&["--topology", &topology]).unwrap();
    net.member(2, 0).await.unwrap().wait_for(&id).await.unwrap();
    agency.until(&id, |m| state(m) == "consigned").await.unwrap();
}

/// The broker hides which way a dispatch came, or tells another one: nobody believes it, nobody is
/// refused for it, and the true frame still counts.
#[tokio::test]
async fn c9_a_way_that_was_cut_or_made_up_by_the_broker_is_set_aside() {
    let net = up(&[]);
    let agency = net.state().await.unwrap();
    net.kill("ville-34172").unwrap();
    let first = agency.send_pdf("34172", "un").await.unwrap();
    let second = agency.send_pdf("34172", "deux").await.unwrap();
    let ids = [text_at(&first, "/message_id"), text_at(&second, "/message_id")];
    let url = format!("embedded://{}", net.dir().join("backbone-departement.db").display());
    let road = broker_adapter::open(&url, Options::default()).await.unwrap();
    let lane = Destination { node: "ville-34172".parse().unwrap(), lane: Lane::Message };
    let mut reader = road.subscribe(&lane.node, Lane::Message).await.unwrap();
    let mut caught = Vec::new();
    while caught.len() < 2 {
        let got = tokio::time::timeout(SOON, reader.next(2)).await.unwrap().unwrap();
        for received in got {
            reader.ack(vec![received.receipt]).await.unwrap();
            caught.push(received.frame);
        }
    }
    drop(reader);
    let bodies: Vec<DispatchFrame> =
        caught.iter().map(|f| frame::decode(&f.body).unwrap()).collect();
    let forged = [
        DispatchFrame { relays: Vec::new(), ..bodies[0].clone() },
        DispatchFrame { relays: bodies[1].relays.clone(), ..bodies[0].clone() },
        DispatchFrame { relays: [&bodies[0].relays[..]; 2].concat(), ..bodies[0].clone() },
    ];
    let count = forged.len();
    let lay = |body: &DispatchFrame, n: usize| {
        let body = Bytes::from(frame::encode(body));
        (lane.clone(), Frame { id: format!("{}-{n}", caught[0].id), body, ..caught[0].clone() })
    };
    let frames = forged.iter().enumerate().map(|(n, body)| lay(body, n)).collect();
    assert_eq!(road.publish(frames).await, vec![Outcome::Confirmed; count]);
    net.start(&["--topology", &chained()]).unwrap();
    let town = net.member(2, 0).await.unwrap();
    let config = net.dir().join("ville-34172/node.toml").display().to_string();
    let end = Instant::now() + SOON;
    loop {
        let said = net.run(&["queue", "list", "--config", &config, "--json"]).unwrap();
        let lines = String::from_utf8(said.stdout).unwrap();
        if lines.matches("evidence-mismatch").count() == count {
            break;
        }
        assert!(Instant::now() < end, "{lines} {}", String::from_utf8_lossy(&said.stderr));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(town.get("/v1/inbox").await.unwrap()["items"].as_array().unwrap().is_empty());
    let frames = bodies.iter().enumerate().map(|(n, body)| lay(body, 10 + n)).collect();
    assert_eq!(road.publish(frames).await, vec![Outcome::Confirmed; 2]);
    for id in &ids {
        town.wait_for(id).await.unwrap();
        agency.until(id, |m| state(m) == "consigned").await.unwrap();
    }
}
