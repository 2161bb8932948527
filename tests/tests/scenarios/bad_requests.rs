//! What nobody should send: each gets a problem with its stable code, and the node goes on.

use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net};

/// Sends a request and demands a problem in every detail.
async fn refused(what: &str, request: RequestBuilder, status: u16, code: &str) -> Value {
    let answer = request.send().await.unwrap_or_else(|e| panic!("{what}: no answer: {e}"));
    let found = answer.status().as_u16();
    let media = answer.headers().get("content-type").cloned();
    let allow = answer.headers().get("allow").cloned();
    let text = answer.text().await.unwrap();
    assert_eq!(media.unwrap(), "application/problem+json", "{what}: {found} {text}");
    let problem: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{what}: {problem}");
    assert_eq!(problem["status"], status, "{what}");
    for field in ["type", "title", "title_fr", "detail", "detail_fr", "fault", "instance"] {
        let text = problem[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{what}: {field} is missing in {problem}");
    }
    assert!(problem["retryable"].is_boolean(), "{what}: {problem}");
    assert_ne!(problem["detail"], problem["detail_fr"], "{what}: one language for both");
    assert_eq!(allow.is_some(), status == 405, "{what}: Allow");
    problem
}

async fn a_good_one_still_goes_through(net: &Net, state: &Api) {
    let sent = state.send_pdf("34172", "good").await.unwrap();
    let town = net.town().await.unwrap();
    town.wait_for(sent["message_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(state.get("/health/live").await.unwrap()["live"], true);
}

#[tokio::test]
async fn bad_requests_in_address_method_and_type_get_a_problem_each() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let get = |path: &str| state.request(Method::GET, path);
    for path in [
        "/v1/inbox?limit=abc",
        "/v1/inbox?wait=-1",
        "/v1/inbox?limit=1&limit=2",
        "/v1/inbox?after=999",
        "/v1/events?wait=1e3",
        "/v1/events?after=s-1",
        "/v1/messages?limit=-5",
        "/v1/messages?limit=99999999999999999999",
        "/v1/messages?after=%FF",
        "/v1/directory/parties?limit=x",
        "/v1/directory/parties?cog=..%2F..",
        "/v1/directory/parties?after=!",
        "/v1/processes?after=!",
        "/v1/processes?limit=x",
    ] {
        refused(path, get(path), 400, "invalid-request").await;
    }
    for path in [
        "/v1/messages/%FF",
        "/v1/messages/1",
        "/v1/messages/..%2F..%2Fetc%2Fpasswd",
        "/v1/evidence/%00",
        "/v1/inbox/%C3%28",
        "/v1/inbox/x/documents/%FF%FE",
        "/v1/processes/%FF",
        "/v1/directory/parties/%FF/1",
        "/v1/nothing",
        "/v2/messages",
        "/v1/messages/",
        "//v1//messages",
        "/.git/config",
    ] {
        refused(path, get(path), 404, "not-found").await;
    }
    for (method, path) in [
        (Method::PUT, "/v1/messages"),
        (Method::DELETE, "/v1/inbox"),
        (Method::GET, "/v1/documents"),
        (Method::POST, "/v1/documents/019ab04e-7f28-7cc3-98c4-dc0c0c07398f"),
        (Method::GET, "/v1/inbox/x/acknowledge"),
        (Method::OPTIONS, "/v1/events"),
        (Method::from_bytes(b"BREW").unwrap(), "/v1/messages"),
        (Method::POST, "/health/live"),
        (Method::GET, "/oauth2/token"),
    ] {
        let request = state.request(method.clone(), path);
        refused(&format!("{method} {path}"), request, 405, "method-not-allowed").await;
    }
    let good = json!({ "status": "done" }).to_string();
    for (path, media) in [
        ("/v1/messages", "text/plain"),
        ("/v1/messages", "application/xml"),
        ("/v1/messages", "application/jsonp"),
        ("/v1/messages", ""),
        ("/v1/inbox/x/status", "text/plain"),
        ("/v1/inbox/x/status", "application/x-www-form-urlencoded"),
    ] {
        let request = state.request(Method::POST, path).header("Content-Type", media);
        let what = format!("{path} as {media:?}");
        refused(&what, request.body(good.clone()), 415, "media-type-not-taken").await;
    }
    let nobody = reqwest::Client::new();
    let get = |path: &str| nobody.get(format!("{}{path}", state.url));
    refused("no token", get("/v1/inbox"), 401, "unauthenticated").await;
    let odd = HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap();
    let request = get("/v1/inbox").header("Authorization", odd);
    refused("a token that is no text", request, 401, "unauthenticated").await;
    a_good_one_still_goes_through(&net, &state).await;
}

#[tokio::test]
async fn bad_requests_with_bodies_that_cannot_be_read_get_a_problem_each() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let post = |path: &str, body: Vec<u8>| {
        let request = state.request(Method::POST, path);
        request.header("Content-Type", "application/json").body(body)
    };
    let deep = "[".repeat(100_000);
    let wide = format!("{{\"recipients\":[{}", "{\"cog\":\"34172\"},".repeat(1_000));
    for body in ["", "{", "[]", "null", "\u{feff}{}", "{\"a\":1}", &deep, &wide] {
        let what = &body[..body.len().min(20)];
        refused(what, post("/v1/messages", body.into()), 400, "envelope-invalid").await;
    }
    let id = state.pdf("x").await.unwrap();
    for (pointer, wrong) in [
        ("/recipients", json!("34172")),
        ("/recipients/0", json!({ "cog": 34172 })),
        ("/recipients/0", json!({ "scheme": "iso6523:0009" })),
        ("/process", json!(["AEC"])),
        ("/documents", json!({})),
        ("/documents/0/id", json!(7)),
        ("/documents/0/recipients", json!([-1])),
        ("/documents/0/recipients", json!([1.5])),
        ("/subject", json!("line\nbreak")),
    ] {
        let mut message = json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC", "subject": "x",
            "documents": [{ "id": id, "recipients": [0] }],
        });
        *message.pointer_mut(pointer).unwrap() = wrong.clone();
        let request = post("/v1/messages", message.to_string().into());
        refused(&format!("{pointer} = {wrong}"), request, 400, "envelope-invalid").await;
    }
    refused("no UTF-8", post("/v1/messages", b"\"\xff\xfe\"".into()), 400, "envelope-invalid")
        .await;
    let large = format!("{{\"subject\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes();
    for path in ["/v1/messages", "/v1/inbox/x/refuse", "/v1/inbox/x/status", "/oauth2/token"] {
        refused(path, post(path, large.clone()), 413, "body-too-large").await;
    }
    for body in ["{", "{\"status\":\"nonsense\"}", "{\"status\":1}", "\u{0}"] {
        refused(body, post("/v1/inbox/x/status", body.into()), 400, "invalid-request").await;
    }
    let empty = reqwest::Client::new().post(format!("{}/oauth2/token", state.url)).body("\u{1}");
    let problem = refused("no form", empty, 400, "invalid-request").await;
    assert_eq!(problem["error"], "invalid_request", "as RFC 6749 §5.2 names it");
    for key in ["", " ", &"k".repeat(256)] {
        let request = post("/v1/messages", b"{}".into()).header("Idempotency-Key", key);
        refused("Idempotency-Key", request, 400, "invalid-request").await;
    }
    a_good_one_still_goes_through(&net, &state).await;
}

/// One request as these octets, and the answer as it comes: no client stands in between.
fn raw(url: &str, head: &str) -> (u16, String, Value) {
    use std::io::{Read as _, Write as _};
    let address = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("{head}\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_a_problem() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let many = (0..95).map(|n| format!("\r\nX-{n}: y")).collect::<String>();
    let cases = [
        (format!("GET /v1/inbox?after={} HTTP/1.1", "a".repeat(9_000)), 414, "address-too-long"),
        (format!("GET /{} HTTP/1.1", "a".repeat(60_000)), 414, "address-too-long"),
        (
            format!("GET /health/live HTTP/1.1\r\nX: {}", "y".repeat(70_000)),
            431,
            "headers-too-large",
        ),
        (
            format!("GET /health/live HTTP/1.1\r\nX: {}", "y".repeat(300_000)),
            431,
            "headers-too-large",
        ),
        (format!("GET /health/live HTTP/1.1{many}"), 431, "headers-too-large"),
    ];
    for (head, status, code) in cases {
        let (found, headers, problem) = raw(&state.url, &head);
        let what = &head[..head.len().min(40)];
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{what}: {headers}");
        assert!(headers.contains("content-type: application/problem+json"), "{what}: {headers}");
        assert_ne!(problem["detail"], problem["detail_fr"], "{what}");
    }
    let (found, ..) =
        raw(&state.url, &format!("GET /health/live HTTP/1.1\r\nX: {}", "y".repeat(60_000)));
    assert_eq!(found, 200);
    a_good_one_still_goes_through(&net, &state).await;
}

const BOUNDARY: &str = "xXx";

/// One part, head and content.
fn part(head: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\n{head}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn file(disposition: &[u8]) -> Vec<u8> {
    let head = [b"--xXx\r\nContent-Type: application/pdf\r\n".as_slice(), disposition].concat();
    [&head, b"\r\n\r\n%PDF-1.4\nx\n%%EOF\n\r\n".as_slice()].concat()
}

#[tokio::test]
async fn bad_requests_in_parts_get_a_problem_each_and_take_no_memory() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let message = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": "a" }],
    });
    let json = message.to_string();
    let said = part("Content-Disposition: form-data; name=\"message\"", json.as_bytes());
    let good = file(b"Content-Disposition: form-data; name=\"a\"; filename=\"a.pdf\"");
    let end = b"--xXx--\r\n".to_vec();
    let post = |body: Vec<u8>| {
        let media = format!("multipart/form-data; boundary={BOUNDARY}");
        state.request(Method::POST, "/v1/messages").header("Content-Type", media).body(body)
    };
    let named = |name: &[u8]| {
        let head = b"Content-Disposition: form-data; name=\"a\"; filename=\"".as_slice();
        file(&[head, name, b"\""].concat())
    };
    let cases: [(&str, Vec<Vec<u8>>); 15] = [
        ("nothing", vec![]),
        ("no boundary", vec![b"hello".to_vec()]),
        ("no end", vec![said.clone(), good.clone()]),
        ("the file first", vec![good.clone(), said.clone(), end.clone()]),
        ("no file", vec![said.clone(), end.clone()]),
        ("a file twice", vec![said.clone(), good.clone(), good.clone(), end.clone()]),
        ("a stray part", vec![said.clone(), part("X: y", b"z"), end.clone()]),
        ("no head", vec![said.clone(), b"--xXx\r\n\r\n\r\n".to_vec(), end.clone()]),
        ("a head that is none", vec![said.clone(), part("\u{1}\u{2}", b"z"), end.clone()]),
        ("a path", vec![said.clone(), named(b"../../etc/passwd"), end.clone()]),
        ("an absolute path", vec![said.clone(), named(b"/etc/passwd"), end.clone()]),
        ("a path of Windows", vec![said.clone(), named(b"..\\\\x.pdf"), end.clone()]),
        ("two dots", vec![said.clone(), named(b".."), end.clone()]),
        ("no UTF-8", vec![said.clone(), named(b"\xff\xfe.pdf"), end.clone()]),
        ("a name of 300", vec![said.clone(), named(&[b'n'; 300]), end.clone()]),
    ];
    for (what, body) in cases {
        refused(what, post(body.concat()), 400, "envelope-invalid").await;
    }
    let before = memory(&net);
    let large = part("Content-Disposition: form-data; name=\"message\"", &vec![b' '; 48 << 20]);
    refused("a large message", post([large, end.clone()].concat()), 413, "body-too-large").await;
    let filler = vec![b'h'; 48 << 20];
    let preamble = [&filler, b"\r\n".as_slice(), &said, &good, &end].concat();
    refused("a large preamble", post(preamble), 413, "body-too-large").await;
    let head = [&said, b"--xXx\r\nX: ".as_slice(), &filler].concat();
    refused("a head without end", post(head), 413, "body-too-large").await;
    let heads = "X: y\r\n".repeat(100);
    let many = part(&format!("{heads}Content-Disposition: form-data; name=\"a\""), b"%PDF-");
    let body = [said.clone(), many, end.clone()].concat();
    refused("a hundred heads", post(body), 400, "envelope-invalid").await;
    let documents: Vec<Value> = (0..1_001).map(|i| json!({ "id": format!("d{i}") })).collect();
    let mut crowd = message.clone();
    crowd["documents"] = documents.into();
    let crowd =
        part("Content-Disposition: form-data; name=\"message\"", crowd.to_string().as_bytes());
    let body = [crowd, end.clone()].concat();
    refused("1,001 documents", post(body), 400, "envelope-invalid").await;
    let grown = memory(&net).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} octets more than before");
    let (status, sent) = state.answer(post([said, good, end].concat())).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{sent}");
    a_good_one_still_goes_through(&net, &state).await;
}

/// Most resident memory that the node `etat` has ever had, in octets.
fn memory(net: &Net) -> u64 {
    let pid = net.description().unwrap()["nodes"][0]["pid"].as_u64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
