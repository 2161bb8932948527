//! Evidence that was lost on its way, and comes after what cites it.
//!
//! ```text
//!   etat ---- national ---- cd-34 ---- departement ---- ville-34172
//!     ^-- a thief takes the consignment from this lane
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use broker_adapter::{Frame, Lane, Outcome};
use exchange_node::config::Config;
use exchange_node::roads::Road;
use serde_json::{Value, json};
use tests::judges;
use tests::net::{Api, Net, SOON, events, state, text_at};

const NODES: [&str; 3] = ["etat", "cd-34", "ville-34172"];

fn signal(net: &Net, node: usize, signal: &str) {
    let pid = net.description().unwrap()["nodes"][node]["pid"].as_i64().unwrap();
    let done = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

/// The sealed evidence of this code, as it travels.
async fn sealed(api: &Api, message: &Value, code: &str) -> Vec<u8> {
    let steps = message["deliveries"][0]["evidence"].as_array().unwrap();
    let step = steps.iter().find(|s| text_at(s, "/code") == code).unwrap();
    api.bytes(&format!("/v1/evidence/{}", text_at(step, "/evidence_id"))).await.unwrap()
}

/// Takes the frame of one evidence out of a node's lane and lays the others back, as they came.
async fn steal(config: &Path, evidence: &[u8]) {
    let mut config = Config::read(config, std::iter::empty()).unwrap();
    config.node.instance = None;
    let road = Road::open(&config, config.backbone.all().next().unwrap()).await.unwrap();
    let lanes = road.lanes_of(&config.node.id);
    let mut reader = road.backbone.subscribe(&lanes, Lane::Evidence).await.unwrap();
    let mut caught: Vec<Frame> = Vec::new();
    let mut receipts = Vec::new();
    let wanted = |f: &Frame| f.body.windows(evidence.len()).any(|octets| octets == evidence);
    while !caught.iter().any(wanted) {
        let got = tokio::time::timeout(SOON, reader.next(8)).await.unwrap().unwrap();
        for received in got {
            caught.push(received.frame);
            receipts.push(received.receipt);
        }
    }
    reader.ack(receipts).await.unwrap();
    drop(reader);
    caught.retain(|f| !wanted(f));
    let count = caught.len();
    let back = caught.into_iter().map(|f| (config.node.id.clone(), Lane::Evidence, f)).collect();
    assert_eq!(road.publish(back).await, vec![Outcome::Confirmed; count]);
    road.backbone.close().await;
}

/// The evidence in a bundle, in its order: `ContentHandover` and its like.
async fn in_the_bundle(net: &Net, api: &Api, id: &str) -> Vec<String> {
    let file = net.dir().join(format!("{id}.asice"));
    api.proof(id, &file).await.unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    judges::unzip(&file, unpacked.path()).unwrap();
    let (root, tsa) = (net.root(), net.dir().join("trust/tsa.pem"));
    let [file, root, tsa] = [file, root, tsa].map(|path| path.display().to_string());
    let output = net.run(&["verify", &file, "--trust", &root, "--trust", &tsa]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut names: Vec<String> = std::fs::read_dir(unpacked.path().join("evidence"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".p7m"))
        .collect();
    names.sort();
    names.iter().map(|name| name.split('-').nth(1).unwrap().to_owned()).collect()
}

/// (e8) The operator of the relay sends again; the proof that the sender then holds is in order.
#[tokio::test]
async fn e8_a_consignment_that_comes_after_its_handover_makes_a_proof_in_order() {
    let topology = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
    let net = Net::up_with(&["--topology", &topology.display().to_string()]).unwrap();
    let (agency, town) = (net.state().await.unwrap(), net.member(2, 0).await.unwrap());
    // The town's node stands still until the sender's does.
    signal(&net, 2, "-STOP");
    let id = text_at(&agency.send_pdf("34172", "acte").await.unwrap(), "/message_id");
    agency.until(&id, |m| events(m).len() == 2).await.unwrap();
    signal(&net, 0, "-STOP");
    signal(&net, 2, "-CONT");
    let item = town.wait_for(&id).await.unwrap();
    let act = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    town.post(&act, &json!({})).await.unwrap();
    let held = town.until(&id, |m| state(m) == "handed_over").await.unwrap();
    let config = net.dir().join(NODES[0]).join("node.toml");
    steal(&config, &sealed(&town, &held, "RD01").await).await;
    signal(&net, 0, "-CONT");
    let without = agency.until(&id, |m| state(m) == "handed_over").await.unwrap();
    assert!(!events(&without).iter().any(|e| e == "RD01"), "{without}");

    let why = "une preuve s'est perdue";
    let again = ["queue", "redrive", "--message", &id, "--reason", why];
    // What the town's node sends again goes no further than the relay.
    assert!(net.operate(NODES[2], &again).unwrap().status.success());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(events(&agency.get(&format!("/v1/messages/{id}")).await.unwrap()).len(), 4);
    assert!(net.operate(NODES[1], &again).unwrap().status.success());
    agency.until(&id, |m| events(m).len() == 5).await.unwrap();
    let story = in_the_bundle(&net, &agency, &id).await;
    let told = ["SubmissionAcceptance", "RelayAcceptance", "RelayAcceptance"];
    assert_eq!(story, [&told[..], &["ContentConsignment", "ContentHandover"]].concat());
    for node in NODES {
        net.fsck(node).unwrap();
    }
}
