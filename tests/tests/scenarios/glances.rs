//! What a member may look at, and what two people may not write at once.
//!
//! ```text
//!   etat --- pli: all, "secret" for the town alone ---> cd-34 --> Montpellier
//!                                                             \-> Saint-Guilhem
//! ```

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::judges;
use tests::net::{Api, Net, text_at};

async fn named(api: &Api, name: &str) -> Value {
    let (status, json) = api.upload(name, "application/pdf", b"%PDF-1.4\n%%EOF\n").await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{json}");
    json!(text_at(&json, "/id"))
}

/// All that the interface shows of a message, by name of the place.
async fn shown(net: &Net, api: &Api, id: &str) -> Vec<(&'static str, String)> {
    let item = api.wait_for(id).await.unwrap();
    let one = api.get(&format!("/v1/inbox/{}", text_at(&item, "/delivery_id"))).await.unwrap();
    let message = api.get(&format!("/v1/messages/{id}")).await.unwrap();
    let steps = api.get(&format!("/v1/messages/{id}/evidence")).await.unwrap();
    let events = api.get("/v1/events").await.unwrap();
    let mut all = vec![
        ("inbox list", item.to_string()),
        ("inbox item", one.to_string()),
        ("message", message.to_string()),
        ("evidence list", steps.to_string()),
        ("events", events.to_string()),
    ];
    for step in steps["items"].as_array().unwrap() {
        let path = format!("/v1/evidence/{}", text_at(step, "/evidence_id"));
        all.push(("evidence", String::from_utf8_lossy(&api.bytes(&path).await.unwrap()).into()));
    }
    let place = tempfile::tempdir_in(net.dir()).unwrap();
    let bundle = place.path().join("b.asice");
    api.proof(id, &bundle).await.unwrap();
    let verdict = net.run(&[
        "verify",
        &bundle.display().to_string(),
        "--trust",
        &net.root().display().to_string(),
        "--trust",
        &net.dir().join("trust/tsa.pem").display().to_string(),
    ]);
    let verdict = verdict.unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
    judges::unzip(&bundle, &place.path().join("b")).unwrap();
    for file in judges::files(&place.path().join("b")).unwrap() {
        let bytes = std::fs::read(&file).unwrap();
        all.push(("bundle", String::from_utf8_lossy(&bytes).into()));
        if file.ends_with("report.html") {
            all.push(("report", String::from_utf8_lossy(&bytes).into()));
        }
    }
    all
}

#[tokio::test]
async fn a8_a_recipient_sees_no_name_of_a_document_for_others_anywhere() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let (town, village) = (net.town().await.unwrap(), net.village().await.unwrap());
    let (all, secret) = ("pour-tous.pdf", "divorce-de-m-dupont.pdf");
    let body = json!({
        "recipients": [{ "cog": "34172" }, { "scheme": "iso6523:0009", "id": village.siret }],
        "process": "AEC", "sender_ref": "DOSSIER-77-DUPONT",
        "documents": [
            { "id": named(&state, all).await },
            { "id": named(&state, secret).await, "recipients": [0] },
        ],
    });
    let (status, sent) = state.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{sent}");
    let id = text_at(&sent, "/message_id");
    let at_village = shown(&net, &village, &id).await;
    for (place, text) in &at_village {
        assert!(!text.contains(secret), "{place} of the village names it");
        assert!(!text.contains("DOSSIER-77"), "{place} of the village has the sender's number");
    }
    let message = village.get(&format!("/v1/messages/{id}")).await.unwrap();
    assert_eq!(message["documents"].as_array().unwrap().len(), 1);
    assert_eq!(message["deliveries"].as_array().unwrap().len(), 1);
    let report =
        |all: &[(&str, String)]| all.iter().find(|(p, _)| *p == "report").unwrap().1.clone();
    assert!(report(&at_village).contains(all) && report(&at_village).contains("further documents"));
    // The one whom it is for sees it; the sender sees everything.
    let at_town = shown(&net, &town, &id).await;
    for place in ["inbox item", "message", "report"] {
        let (_, text) = at_town.iter().find(|(p, _)| *p == place).unwrap();
        assert!(text.contains(secret), "{place} of the town");
    }
    assert!(!report(&at_town).contains("further documents"));
    let own = state.get(&format!("/v1/messages/{id}")).await.unwrap();
    assert_eq!(own["sender_ref"], "DOSSIER-77-DUPONT");
    assert_eq!(own["documents"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn two_agents_who_set_a_status_at_once_do_not_overwrite_each_other() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = state.send_pdf("34172", "two agents").await.unwrap();
    let item = town.wait_for(&text_at(&sent, "/message_id")).await.unwrap();
    let one = format!("/v1/inbox/{}", text_at(&item, "/delivery_id"));
    let tag = async || {
        let answer = town.request(Method::GET, &one).send().await.unwrap();
        answer.headers().get("etag").unwrap().to_str().unwrap().to_owned()
    };
    let set = async |status: &str, tag: &str| {
        let request = town.request(Method::POST, &format!("{one}/status"));
        let request = request.header("If-Match", tag).json(&json!({ "status": status }));
        town.answer(request).await.unwrap()
    };
    let first = tag().await;
    let (_, taken) = town.post(&format!("{one}/acknowledge"), &json!({})).await.unwrap();
    assert_eq!(taken["state"], "handed_over");
    let (status, stale) = set("in_progress", &first).await;
    assert_eq!((status.as_u16(), &stale["code"]), (412, &json!("precondition-failed")), "{stale}");
    // Both read the same, both write: one of them is told.
    let seen = tag().await;
    assert_ne!(seen, first);
    let (a, b) = tokio::join!(set("in_progress", &seen), set("add_awaiting", &seen));
    let mut statuses = [a.0.as_u16(), b.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{} {}", a.1, b.1);
    for wrong in ["\"999\"", "W/\"3\"", "nonsense", "\"a\", \"b\""] {
        assert_eq!(set("done", wrong).await.0.as_u16(), 412, "{wrong}");
    }
    assert_eq!(set("done", &format!("\"0\", {}", tag().await)).await.0, StatusCode::OK);
    let own = format!("/v1/messages/{}", text_at(&sent, "/message_id"));
    let answer = state.request(Method::GET, &own).send().await.unwrap();
    let tag = answer.headers().get("etag").unwrap().clone();
    let again = state.request(Method::GET, &own).header("If-None-Match", tag.clone());
    let again = again.send().await.unwrap();
    let unchanged = again.status() == StatusCode::NOT_MODIFIED;
    assert!(unchanged || again.headers().get("etag") != Some(&tag));
}
