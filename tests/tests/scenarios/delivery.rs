//! (a) An administration sends to a commune through its departmental node.

use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};
use tests::judges;
use tests::net::{Net, events, state, text_at};

#[tokio::test]
async fn a1_submission_is_evidenced_within_two_seconds() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let pdf = vec![b'x'; 700 * 1024];
    let pdf = [b"%PDF-1.7\n".as_slice(), &pdf].concat();
    let (_, pdf) = state.upload("acte.pdf", "application/pdf", &pdf).await.unwrap();
    let (_, xml) = state.upload("acte.xml", "application/xml", b"<acte/>").await.unwrap();
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "sender_ref": "A-9",
        "documents": [{ "id": pdf["id"] }, { "id": xml["id"] }],
    });
    let begin = Instant::now();
    let request = state.request(Method::POST, "/v1/messages").header("Idempotency-Key", "a1");
    let (status, message) = state.answer(request.json(&body)).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{message}");
    assert_eq!(message["deliveries"][0]["state"], "accepted");
    let evidence = text_at(&message, "/deliveries/0/evidence/0/evidence_id");
    let p7m = state.bytes(&format!("/v1/evidence/{evidence}")).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
    // Judged by OpenSSL, and stamped within the same two seconds or soon after.
    let file = net.dir().join("a1.p7m");
    std::fs::write(&file, p7m).unwrap();
    let json = judges::openssl_cms(&file, &net.root()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(text_at(&json, "/ERDSEventId").ends_with("/SubmissionAcceptance"));
    let id = text_at(&message, "/message_id");
    state.until(&id, |m| m["deliveries"][0]["evidence"][0]["anchored"].is_string()).await.unwrap();
}

#[tokio::test]
async fn a2_the_same_key_sends_once_and_another_body_is_a_mismatch() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let id = state.pdf("once").await.unwrap();
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": id }],
    });
    let send = |body: serde_json::Value| {
        let request = state.request(Method::POST, "/v1/messages").header("Idempotency-Key", "k");
        state.answer(request.json(&body))
    };
    let (first, message) = send(body.clone()).await.unwrap();
    let (again, same) = send(body.clone()).await.unwrap();
    assert_eq!((first, again), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(message["message_id"], same["message_id"]);
    let mut other = body;
    other["subject"] = json!("another");
    let (status, problem) = send(other).await.unwrap();
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["code"], "duplicate-mismatch");
    let list = state.get("/v1/messages").await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a3_a4_a5_a_commune_is_found_relayed_to_and_delivered() {
    let net = Net::up().unwrap();
    let (state_api, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = state_api.send_pdf("34172", "hello").await.unwrap();
    let id = text_at(&sent, "/message_id");
    let item = town.wait_for(&id).await.unwrap();
    assert_eq!(item["state"], "consigned");
    // The sender never named the node; the evidence of both nodes is visible to it.
    let done = state_api.until(&id, |m| state(m) == "consigned").await.unwrap();
    assert_eq!(events(&done), ["SubmissionAcceptance", "RelayAcceptance", "ContentConsignment"]);
    assert_eq!(done["deliveries"][0]["custodian"], "cd-34");
    // Content is what was sent.
    let document = text_at(&item, "/documents/0/id");
    let delivery = text_at(&item, "/delivery_id");
    let got = town.bytes(&format!("/v1/inbox/{delivery}/documents/{document}")).await.unwrap();
    assert_eq!(got, b"%PDF-1.4\nhello\n%%EOF\n");
}

#[tokio::test]
async fn a6_messages_of_a_conversation_arrive_in_their_order() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let mut sent = Vec::new();
    for n in 0..12 {
        let document = state.pdf(&n.to_string()).await.unwrap();
        let body = json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC", "conversation_id": "dialogue",
            "documents": [{ "id": document }],
        });
        let (_, message) = state.send(&body).await.unwrap();
        sent.push(text_at(&message, "/message_id"));
    }
    town.wait_for(sent.last().unwrap()).await.unwrap();
    let page = town.get("/v1/inbox?after=s0&limit=200").await.unwrap();
    let got: Vec<String> =
        page["items"].as_array().unwrap().iter().map(|i| text_at(i, "/message_id")).collect();
    assert_eq!(got, sent);
}

#[tokio::test]
async fn a7_nothing_readable_lies_on_the_backbone_or_in_a_database() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    // The recipient's node is away: frames stay on the backbone.
    net.kill("cd-34").unwrap();
    let marker = "CONFIDENTIEL-7f3a9c";
    let sent = state.send_pdf("34172", marker).await.unwrap();
    let id = text_at(&sent, "/message_id");
    state.until(&id, |m| m["deliveries"][0]["state"] == "relaying").await.unwrap();
    let files = judges::files(&net.dir()).unwrap();
    let frames = files.iter().filter(|f| f.to_string_lossy().contains("backbone.db"));
    assert!(frames.clone().any(|f| std::fs::metadata(f).unwrap().len() > 0));
    for file in &files {
        if !std::fs::metadata(file).unwrap().is_file() {
            continue;
        }
        let bytes = std::fs::read(file).unwrap();
        let found = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
        assert!(!found, "{} holds the plaintext", file.display());
    }
    net.start(&[]).unwrap();
    net.town().await.unwrap().wait_for(&id).await.unwrap();
}

#[tokio::test]
async fn a8_three_recipients_each_with_its_own_documents_state_and_evidence() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let village = net.village().await.unwrap();
    let [all, secret] = [state.pdf("for all").await.unwrap(), state.pdf("secret").await.unwrap()];
    let body = json!({
        "recipients": [
            { "cog": "34172" },
            { "scheme": "iso6523:0009", "id": village.siret },
            { "scheme": "iso6523:0009", "id": state.siret },
        ],
        "process": "AEC",
        "documents": [{ "id": all }, { "id": secret, "recipients": [0] }],
    });
    let (status, message) = state.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{message}");
    let id = text_at(&message, "/message_id");
    let at_town = town.wait_for(&id).await.unwrap();
    let at_village = village.wait_for(&id).await.unwrap();
    let at_state = state.wait_for(&id).await.unwrap();
    assert_eq!(at_town["documents"].as_array().unwrap().len(), 2);
    assert_eq!(at_village["documents"].as_array().unwrap().len(), 1);
    assert_eq!(at_state["documents"].as_array().unwrap().len(), 1);
    for (api, item) in [(&village, &at_village), (&village, &at_town), (&state, &at_town)] {
        let delivery = text_at(item, "/delivery_id");
        let path = format!("/v1/inbox/{delivery}/documents/{secret}");
        let status = api.request(Method::GET, &path).send().await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let done = state
        .until(&id, |m| {
            m["deliveries"].as_array().unwrap().iter().all(|d| d["state"] == "consigned")
        })
        .await
        .unwrap();
    // One acceptance for the submission, one consignment for each recipient.
    let mut acceptances: Vec<String> = Vec::new();
    for delivery in done["deliveries"].as_array().unwrap() {
        acceptances.push(text_at(delivery, "/evidence/0/evidence_id"));
    }
    acceptances.dedup();
    assert_eq!(acceptances.len(), 1);
}

#[tokio::test]
async fn b6_software_lists_downloads_acknowledges_and_replies() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = state.send_pdf("34172", "hello").await.unwrap();
    let id = text_at(&sent, "/message_id");
    let page = town.get("/v1/inbox?wait=30").await.unwrap();
    let item = page["items"][0].clone();
    assert_eq!(text_at(&item, "/message_id"), id);
    // What was taken is hidden until its visibility time.
    let again = town.get("/v1/inbox").await.unwrap();
    assert!(again["items"].as_array().unwrap().is_empty());
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    let (status, first) = town.post(&path, &json!({})).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["state"], "handed_over");
    let (_, second) = town.post(&path, &json!({})).await.unwrap();
    assert_eq!(first["evidence"]["evidence_id"], second["evidence"]["evidence_id"]);
    let answer = town.pdf("acte délivré").await.unwrap();
    let body = json!({
        "recipients": [item["sender"]["scheme"].as_str().map(|s| json!({
            "scheme": s, "id": item["sender"]["id"] })).unwrap()],
        "process": "AEC", "in_reply_to": id, "conversation_id": item["conversation_id"],
        "documents": [{ "id": answer }],
    });
    let (status, reply) = town.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{reply}");
    let back = state.wait_for(&text_at(&reply, "/message_id")).await.unwrap();
    assert_eq!(text_at(&back, "/in_reply_to"), id);
    let path = format!("/v1/inbox/{}/status", text_at(&item, "/delivery_id"));
    let (status, _) = town.post(&path, &json!({ "status": "done" })).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    state.until(&id, |m| m["deliveries"][0]["business_status"] == "done").await.unwrap();
    let feed = state.get("/v1/events").await.unwrap();
    let kinds: Vec<String> =
        feed["items"].as_array().unwrap().iter().map(|e| text_at(e, "/type")).collect();
    assert!(kinds.contains(&"fr.pli.evidence.ContentHandover".to_owned()), "{kinds:?}");
}
