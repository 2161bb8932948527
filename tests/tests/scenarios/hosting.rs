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
