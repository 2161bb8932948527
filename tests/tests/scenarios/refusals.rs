//! (c) Refusals: a stable code, whose fault, two sentences, and a sealed evidence.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net};

fn is_problem(answer: &(StatusCode, Value), status: u16, code: &str) {
    assert_eq!(answer.0.as_u16(), status, "{}", answer.1);
    assert_eq!(answer.1["code"], code);
    for field in ["type", "title", "title_fr", "detail", "detail_fr", "fault", "instance"] {
        assert!(answer.1[field].is_string(), "{field} is missing in {}", answer.1);
    }
    assert!(answer.1["retryable"].is_boolean());
}

async fn message(api: &Api, to: Value) -> Value {
    let id = api.pdf("x").await.unwrap();
    json!({ "recipients": [to], "process": "AEC", "documents": [{ "id": id }] })
}

#[tokio::test]
async fn c1_an_unknown_recipient_is_refused_with_evidence() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let unknown = json!({ "scheme": "iso6523:0009", "id": "73282932000074" });
    for to in [unknown, json!({ "cog": "75056" })] {
        let answer = state.send(&message(&state, to).await).await.unwrap();
        is_problem(&answer, 422, "recipient-unknown");
        let evidence = answer.1["evidence_id"].as_str().unwrap();
        let request = state.request(Method::GET, &format!("/v1/evidence/{evidence}"));
        let (_, json) = state.answer(request.header("Accept", "application/json")).await.unwrap();
        assert!(json["ERDSEventId"].as_str().unwrap().ends_with("/SubmissionRejection"));
        let details = json["EventReasons"]["EventReason"][0]["Details"].as_array().unwrap();
        assert!(details.contains(&json!("recipient-unknown")), "{details:?}");
    }
}

#[tokio::test]
async fn c4_c5_c6_documents_that_break_the_rules_are_refused() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    // c4: before the upload ends.
    let large = vec![b'x'; (20 << 20) + 1];
    let large = [b"%PDF-1.4\n".as_slice(), &large].concat();
    let request = state
        .request(Method::POST, "/v1/documents?process=AEC")
        .header("Content-Type", "application/pdf")
        .header("Content-Disposition", "attachment; filename=\"a.pdf\"")
        .body(large);
    is_problem(&state.answer(request).await.unwrap(), 413, "document-too-large");
    let limit = state.get("/v1/processes/AEC").await.unwrap();
    assert_eq!(limit["max_document_size"], 20 << 20);
    // c5: the bytes are not those of the type, and a type that the démarche does not take.
    let wrong = state.upload("a.pdf", "application/pdf", b"<html></html>").await.unwrap();
    is_problem(&wrong, 415, "document-type-refused");
    let (_, text) = state.upload("a.txt", "text/plain", b"hello").await.unwrap();
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": text["id"] }],
    });
    is_problem(&state.send(&body).await.unwrap(), 415, "document-type-refused");
    // c6: another digest than announced.
    let request = state
        .request(Method::POST, "/v1/documents")
        .header("Content-Type", "application/pdf")
        .header("Content-Disposition", "attachment; filename=\"a.pdf\"")
        .header("Content-Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")
        .body("%PDF-1.4\n");
    is_problem(&state.answer(request).await.unwrap(), 422, "document-corrupted");
}

#[tokio::test]
async fn malformed_requests_get_their_codes_and_nothing_crashes() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let raw = |body: &str| {
        let request = state.request(Method::POST, "/v1/messages");
        state.answer(request.header("Content-Type", "application/json").body(body.to_owned()))
    };
    for body in ["", "{", "[]", "{\"recipients\":[]}", "\u{0}", "{\"a\":1}"] {
        is_problem(&raw(body).await.unwrap(), 400, "envelope-invalid");
    }
    let none = json!({ "recipients": [], "process": "AEC", "documents": [] });
    is_problem(&state.send(&none).await.unwrap(), 400, "envelope-invalid");
    let process = json!({
        "recipients": [{ "cog": "34172" }], "process": "NOPE",
        "documents": [{ "id": state.pdf("x").await.unwrap() }],
    });
    is_problem(&state.send(&process).await.unwrap(), 422, "process-unknown");
    for name in ["..%2Fetc%2Fpasswd", "a%00b", "..", "a%5Cb"] {
        let answer = state.upload(name, "application/pdf", b"%PDF-1.4\n").await.unwrap();
        is_problem(&answer, 400, "envelope-invalid");
    }
    let unknown = state.answer(state.request(Method::GET, "/v1/nothing")).await.unwrap();
    is_problem(&unknown, 404, "not-found");
    let method = state.answer(state.request(Method::PATCH, "/v1/messages")).await.unwrap();
    is_problem(&method, 405, "method-not-allowed");
    assert_eq!(state.get("/health/live").await.unwrap()["live"], true);
}
