//! Tenants of one node are hostile to each other.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::net::{Net, text_at};

#[tokio::test]
async fn what_belongs_to_another_member_is_not_found() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let village = net.village().await.unwrap();
    let sent = state.send_pdf("34172", "for the town").await.unwrap();
    let id = text_at(&sent, "/message_id");
    let item = town.wait_for(&id).await.unwrap();
    let delivery = text_at(&item, "/delivery_id");
    let document = text_at(&item, "/documents/0/id");
    for path in [
        format!("/v1/messages/{id}"),
        format!("/v1/messages/{id}/proof"),
        format!("/v1/messages/{id}/evidence"),
        format!("/v1/inbox/{delivery}"),
        format!("/v1/inbox/{delivery}/documents/{document}"),
    ] {
        let (status, _) = village.answer(village.request(Method::GET, &path)).await.unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    let path = format!("/v1/inbox/{delivery}/acknowledge");
    assert_eq!(village.post(&path, &json!({})).await.unwrap().0, StatusCode::NOT_FOUND);
    // A document of one member cannot go out in the message of another.
    let foreign = town.pdf("mine").await.unwrap();
    let body = json!({
        "recipients": [{ "scheme": "iso6523:0009", "id": state.siret }],
        "process": "AEC", "documents": [{ "id": foreign }],
    });
    let (status, problem) = village.send(&body).await.unwrap();
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("document-unknown")));
    // The recipient itself may prove what it received.
    let bundle = net.dir().join("town.asice");
    town.proof(&id, &bundle).await.unwrap();
}

#[tokio::test]
async fn a_call_without_a_token_or_with_a_false_one_is_refused() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let http = reqwest::Client::new();
    for bearer in [None, Some("false")] {
        let mut request = http.get(format!("{}/v1/messages", state.url));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    let form =
        [("grant_type", "client_credentials"), ("client_id", "etat-1"), ("client_secret", "x")];
    let url = format!("{}/oauth2/token", state.url);
    let answer = http.post(url).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let json: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        (json["error"].as_str(), json["code"].as_str()),
        (Some("invalid_client"), Some("invalid-client"))
    );
}

/// i1: one binary gives a network to try everything on.
#[tokio::test]
async fn i1_one_command_gives_two_nodes_an_authority_and_three_members() {
    let net = Net::up().unwrap();
    let description = net.description().unwrap();
    let nodes = description["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    let members: usize = nodes.iter().map(|n| n["members"].as_array().unwrap().len()).sum();
    assert!(members >= 3, "{description}");
    for node in nodes {
        let url = format!("{}/health/ready", node["url"].as_str().unwrap());
        let ready: serde_json::Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
        assert_eq!(ready["ready"], true, "{ready}");
    }
    assert!(net.root().is_file() && description["tsa_url"].is_string());
}

/// h3: the journal of operators' acts tells of whoever touches it.
#[tokio::test]
async fn h3_an_edited_moved_or_shortened_journal_is_detected() {
    let net = Net::up().unwrap();
    let config = net.dir().join("etat/node.toml").display().to_string();
    let verdict = || {
        let output = net.run(&["audit", "verify", "--json", "--config", &config]).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report["flaws"][0]["line"].as_u64())
    };
    assert_eq!(verdict(), (Some(0), None), "nothing was done yet");
    for id in ["one", "two", "three", "four"] {
        let args = ["clients", "add", "12345678200010", "--id", id, "--config", &config];
        assert!(net.run(&args).unwrap().status.success());
    }
    let args = ["clients", "revoke", "two", "--config", &config];
    assert!(net.run(&args).unwrap().status.success());
    assert_eq!(verdict(), (Some(0), None));

    let log = net.dir().join("etat/audit.log");
    let whole = std::fs::read_to_string(&log).unwrap();
    assert!(!whole.contains("secret"), "{whole}");
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 5);
    let mut moved = lines.clone();
    moved.swap(1, 2);
    let edited = whole.replace("\"two\"", "\"TWO\"");
    let cases = [
        ("edited", edited, 2),
        ("deleted", [&lines[..1], &lines[2..]].concat().join("\n"), 2),
        ("moved", moved.join("\n"), 2),
        ("cut off", lines[..4].join("\n"), 5),
        ("added", format!("{whole}{}\n", lines[4]), 6),
        ("emptied", String::new(), 1),
    ];
    for (what, text, line) in cases {
        std::fs::write(&log, text).unwrap();
        let (code, at) = verdict();
        assert_eq!(code, Some(4), "{what}");
        assert!(at.is_some_and(|at| at.abs_diff(line) <= 1), "{what}: line {at:?}");
    }
    std::fs::write(&log, &whole).unwrap();
    assert_eq!(verdict(), (Some(0), None));
}
