//! (c) Refusals: a stable code, whose fault, two sentences, and a sealed evidence.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};
use tests::judges;
use tests::net::{Answer, Api, Net, text_at};

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

/// The A.2 of a refusal, its seal verified by OpenSSL: the digests of the documents in it.
async fn rejection(net: &Net, api: &Api, problem: &Value) -> Vec<String> {
    let id = problem["evidence_id"].as_str().unwrap_or_else(|| panic!("no evidence: {problem}"));
    let request = api.request(Method::GET, &format!("/v1/evidence/{id}"));
    let answer = request.header("Accept", "application/pkcs7-mime").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let file = net.dir().join(format!("{id}.p7m"));
    std::fs::write(&file, answer.bytes().await.unwrap()).unwrap();
    let content = judges::openssl_cms(&file, &net.root()).unwrap();
    let json: Value = serde_json::from_slice(&content).unwrap();
    assert!(text_at(&json, "/ERDSEventId").ends_with("/SubmissionRejection"), "{json}");
    assert_eq!(json["MessageIdentifier"], problem["message_id"]);
    let details = json["EventReasons"]["EventReason"][0]["Details"].as_array().unwrap();
    assert!(details.contains(&problem["code"]), "{details:?}");
    let parts = json["UserContentInfo"]["PartsInfo"]["PartInfo"].as_array().unwrap();
    parts.iter().map(|p| text_at(p, "/DigestValue")).collect()
}

/// A message with its files as parts of one request.
async fn in_parts(api: &Api, process: &str, files: &[(&str, &[u8], Option<&str>)]) -> Answer {
    let ids: Vec<Value> = (0..files.len()).map(|i| json!({ "id": format!("d{i}") })).collect();
    let message =
        json!({ "recipients": [{ "cog": "34172" }], "process": process, "documents": ids });
    let mut form = multipart::Form::new().text("message", message.to_string());
    for (i, (media, content, digest)) in files.iter().enumerate() {
        let part = multipart::Part::bytes(content.to_vec()).file_name(format!("{i}.pdf"));
        let mut part = part.mime_str(media).unwrap();
        if let Some(digest) = digest {
            let digest = HeaderMap::from_iter([(
                HeaderName::from_static("content-digest"),
                HeaderValue::from_str(digest).unwrap(),
            )]);
            part = part.headers(digest);
        }
        form = form.part(format!("d{i}"), part);
    }
    api.answer(api.request(Method::POST, "/v1/messages").multipart(form)).await.unwrap()
}

fn sha256(content: &[u8]) -> String {
    signing::digest::sha256(content).to_string()
}

const PDF: &str = "application/pdf";

#[tokio::test]
async fn c4_a_document_that_is_too_large_is_refused_before_its_end_with_evidence() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let limit = state.get("/v1/processes/AEC").await.unwrap();
    assert_eq!(limit["max_document_size"], 20 << 20);
    let large = [b"%PDF-1.4\n".as_slice(), &vec![b'x'; 20 << 20]].concat();
    // An upload belongs to no message yet: refused, without evidence about a message.
    let request = state
        .request(Method::POST, "/v1/documents?process=AEC")
        .header("Content-Type", PDF)
        .header("Content-Disposition", "attachment; filename=\"a.pdf\"")
        .body(large.clone());
    let answer = state.answer(request).await.unwrap();
    is_problem(&answer, 413, "document-too-large");
    assert!(answer.1["evidence_id"].is_null());
    // In a message, the evidence names it by what was read: up to the limit.
    let small = b"%PDF-1.4\n%%EOF\n".as_slice();
    let answer = in_parts(&state, "AEC", &[(PDF, small, None), (PDF, &large, None)]).await;
    is_problem(&answer, 413, "document-too-large");
    let digests = rejection(&net, &state, &answer.1).await;
    assert_eq!(digests.len(), 4, "plaintext and ciphertext of each");
    assert_eq!((&digests[0], &digests[2]), (&sha256(small), &sha256(&large[..20 << 20])));
    // It was uploaded within the limit of another démarche.
    let (_, upload) = state.upload("a.pdf", PDF, &large).await.unwrap();
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": upload["id"] }],
    });
    let answer = state.send(&body).await.unwrap();
    is_problem(&answer, 413, "document-too-large");
    assert_eq!(rejection(&net, &state, &answer.1).await[0], sha256(&large));
}

#[tokio::test]
async fn c4_documents_that_are_too_large_together_are_refused_with_evidence() {
    let net = Net::up().unwrap();
    let config = net.dir().join("etat/node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let line = text.lines().find(|l| l.starts_with("max_message_size")).unwrap();
    std::fs::write(&config, text.replacen(line, "max_message_size = 100000", 1)).unwrap();
    net.kill("etat").unwrap();
    net.start(&[]).unwrap();
    let state = net.state().await.unwrap();
    let half = [b"%PDF-1.4\n".as_slice(), &[b'x'; 60_000]].concat();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (_, upload) = state.upload("a.pdf", PDF, &half).await.unwrap();
        ids.push(json!({ "id": upload["id"] }));
    }
    let body = json!({ "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": ids });
    let answer = state.send(&body).await.unwrap();
    is_problem(&answer, 413, "document-too-large");
    let digests = rejection(&net, &state, &answer.1).await;
    assert_eq!((&digests[0], &digests[2]), (&sha256(&half), &sha256(&half)));
    let answer = in_parts(&state, "AEC", &[(PDF, &half, None), (PDF, &half, None)]).await;
    is_problem(&answer, 413, "document-too-large");
    assert_eq!(answer.1["detail"], "The documents are too large together.");
    let digests = rejection(&net, &state, &answer.1).await;
    assert_eq!(
        (&digests[0], &digests[2]),
        (&sha256(&half), &sha256(&half[..100_000 - half.len()]))
    );
    // What was refused is not in use: one of its documents goes in a message of its own.
    let alone =
        json!({ "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [ids[0]] });
    assert_eq!(state.send(&alone).await.unwrap().0, StatusCode::CREATED);
}

#[tokio::test]
async fn c5_c6_documents_that_are_not_what_is_said_are_refused_with_evidence() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    // c5: the bytes are not those of the type, and a type that the démarche does not take.
    let html = b"<html></html>".as_slice();
    let wrong = state.upload("a.pdf", PDF, html).await.unwrap();
    is_problem(&wrong, 415, "document-type-refused");
    let good = b"%PDF-1.4\n%%EOF\n".as_slice();
    let wrong = in_parts(&state, "AEC", &[(PDF, html, None), (PDF, good, None)]).await;
    is_problem(&wrong, 415, "document-type-refused");
    let digests = rejection(&net, &state, &wrong.1).await;
    assert_eq!((&digests[0], &digests[2]), (&sha256(html), &sha256(good)));
    let (_, text) = state.upload("a.txt", "text/plain", b"hello").await.unwrap();
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": text["id"] }],
    });
    let wrong = state.send(&body).await.unwrap();
    is_problem(&wrong, 415, "document-type-refused");
    assert_eq!(rejection(&net, &state, &wrong.1).await[0], sha256(b"hello"));
    // c6: another digest than announced.
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let request = state
        .request(Method::POST, "/v1/documents")
        .header("Content-Type", PDF)
        .header("Content-Disposition", "attachment; filename=\"a.pdf\"")
        .header("Content-Digest", empty)
        .body("%PDF-1.4\n");
    is_problem(&state.answer(request).await.unwrap(), 422, "document-corrupted");
    let wrong = in_parts(&state, "AEC", &[(PDF, good, Some(empty))]).await;
    is_problem(&wrong, 422, "document-corrupted");
    assert_eq!(rejection(&net, &state, &wrong.1).await[0], sha256(good));
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
