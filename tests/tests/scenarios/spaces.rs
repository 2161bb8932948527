//! What waits for a member is bounded: it waits outside, is consigned when room is made, and the
//! sender hears when no room was made in time. And an application refuses what it cannot take.
//!
//! ```text
//!   etat ------ embedded ------ cd-34 (3 deliveries may wait for a member)
//! ```

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net, events, state, text_at};

/// A network in which three deliveries at most may wait for a member of `cd-34`.
async fn small() -> Net {
    let net = Net::up().unwrap();
    let file = net.dir().join("cd-34/node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let small = text.replacen("\nitems = 100000\n", "\nitems = 3\n", 1);
    assert_ne!(small, text, "{text}");
    std::fs::write(&file, small).unwrap();
    net.kill("cd-34").unwrap();
    net.start(&[]).unwrap();
    net
}

async fn inbox(api: &Api) -> Vec<Value> {
    let page = api.get("/v1/inbox?limit=200&after=s0").await.unwrap();
    page["items"].as_array().unwrap().clone()
}

async fn ready(api: &Api) -> Value {
    let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "a full inbox makes no node unready");
    answer.json().await.unwrap()
}

async fn states(sender: &Api, ids: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for id in ids {
        all.push(state(&sender.get(&format!("/v1/messages/{id}")).await.unwrap()));
    }
    all.sort();
    all
}

async fn until_states(sender: &Api, ids: &[String], wanted: &[&str]) {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let now = states(sender, ids).await;
        if now == wanted {
            return;
        }
        assert!(Instant::now() < end, "{now:?}, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn row_14_what_finds_no_room_is_consigned_when_something_is_collected_or_comes_back() {
    let mut net = small().await;
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let mut ids = Vec::new();
    for n in 0..5 {
        let sent = sender.send_pdf("34172", &format!("pli {n}")).await.unwrap();
        ids.push(text_at(&sent, "/message_id"));
    }
    let waiting = ["consigned", "consigned", "consigned", "relayed", "relayed"];
    until_states(&sender, &ids, &waiting).await;
    assert_eq!(inbox(&town).await.len(), 3);
    let told = ready(&town).await.to_string();
    assert!(told.contains("1 full"), "{told}");
    let figures = reqwest::get(format!("{}/metrics", town.url)).await.unwrap();
    let figures = figures.text().await.unwrap();
    assert!(figures.contains("\npli_inboxes_full 1"), "{figures}");
    // Room for one.
    let first = text_at(&inbox(&town).await[0], "/delivery_id");
    let (status, receipt) =
        town.post(&format!("/v1/inbox/{first}/acknowledge"), &json!({})).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let more = ["consigned", "consigned", "consigned", "handed_over", "relayed"];
    until_states(&sender, &ids, &more).await;
    assert_eq!(inbox(&town).await.len(), 3);
    net.fsck("cd-34").unwrap();
    // Nobody collects anything more in the time to consign.
    for name in ["etat", "cd-34", "tsa"] {
        net.kill(name).unwrap();
    }
    let later = Duration::from_secs(23 * 3_600 + 60).as_millis().to_string();
    net.set("PLI_CLOCK_OFFSET_MS", &later);
    net.start(&[]).unwrap();
    let sender = net.state().await.unwrap();
    let end = ["consign_failed", "consigned", "consigned", "consigned", "handed_over"];
    until_states(&sender, &ids, &end).await;
    let mut quota = Vec::new();
    for id in &ids {
        let message = sender.get(&format!("/v1/messages/{id}")).await.unwrap();
        if state(&message) == "consign_failed" {
            let all = message["deliveries"][0]["evidence"].as_array().unwrap().clone();
            quota.extend(all.last().map(|step| text_at(step, "/code")));
            assert_eq!(events(&message)[1], "RelayAcceptance");
        }
    }
    assert_eq!(quota, ["RD04"]);
    for node in ["etat", "cd-34"] {
        net.fsck(node).unwrap();
    }
}

#[tokio::test]
async fn row_17_an_application_refuses_a_type_that_it_cannot_take() {
    let net = Net::up().unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = sender.send_pdf("34172", "unreadable").await.unwrap();
    let message = text_at(&sent, "/message_id");
    let item = town.wait_for(&message).await.unwrap();
    let path = format!("/v1/inbox/{}/refuse", text_at(&item, "/delivery_id"));
    // Without consent there is nothing to refuse, but what cannot be taken.
    let (status, problem) = town.post(&path, &json!({ "reason": "non" })).await.unwrap();
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("state-conflict")));
    let (status, _) = town.post(&path, &json!({ "code": "nonsense" })).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let body = json!({ "code": "document-type-refused", "reason": "PDF 1.4 non lu" });
    let (status, receipt) = town.post(&path, &body).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{receipt}");
    assert_eq!(receipt["state"], "handover_failed");
    assert_eq!(receipt["evidence"]["code"], "RE03");
    let (_, again) = town.post(&path, &body).await.unwrap();
    assert_eq!(again["evidence"]["evidence_id"], receipt["evidence"]["evidence_id"]);
    let known = sender.until(&message, |m| state(m) == "handover_failed").await.unwrap();
    let told = ["SubmissionAcceptance", "RelayAcceptance", "ContentConsignment"];
    assert_eq!(events(&known)[..3], told, "D.1 stays");
    let document = text_at(&item, "/documents/0/id");
    let delivery = text_at(&item, "/delivery_id");
    let content = format!("/v1/inbox/{delivery}/documents/{document}");
    assert!(town.bytes(&content).await.unwrap().starts_with(b"%PDF"), "it can still be read");
    let request = town.request(Method::POST, &format!("/v1/inbox/{delivery}/acknowledge"));
    let (status, problem) = town.answer(request).await.unwrap();
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("state-conflict")));
    for node in ["etat", "cd-34"] {
        net.fsck(node).unwrap();
    }
}
