//! (g) Large documents: uploads that survive the node, transfers that go on where they were, and
//! nobody who waits behind them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use signing::digest::{Sha256Stream, sha256};
use tests::net::{Api, Net, skipped, text_at};

const MIB: usize = 1 << 20;
/// What a debug build beside other tests may take.
const LONG: Duration = Duration::from_secs(150);
/// Parts of content that a sender may be ahead (64), and a window of them (8).
const AHEAD: u64 = 64 + 8;

/// A PDF by its first octets, and nothing that any compression would shorten.
fn document(length: usize) -> Vec<u8> {
    let mut all = b"%PDF-1.4\n".to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while all.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(length);
    all
}

fn begin(api: &Api, length: usize) -> RequestBuilder {
    api.request(Method::POST, "/v1/documents?resumable")
        .header("Content-Type", "application/pdf")
        .header("Content-Disposition", "attachment; filename=\"plan.pdf\"")
        .header("Content-Length", 0)
        .header("Upload-Complete", "?0")
        .header("Upload-Length", length)
}

fn go_on(api: &Api, path: &str, offset: usize, complete: &str) -> RequestBuilder {
    api.request(Method::PATCH, path)
        .header("Content-Type", "application/partial-upload")
        .header("Upload-Offset", offset)
        .header("Upload-Complete", complete)
}

fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name).unwrap_or_else(|| panic!("no {name}"));
    value.to_str().unwrap().to_owned()
}

async fn stands(api: &Api, path: &str) -> usize {
    let answer = api.request(Method::HEAD, path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&answer, "cache-control"), "no-store");
    header(&answer, "upload-offset").parse().unwrap()
}

async fn location(api: &Api, length: usize) -> String {
    let begun = begin(api, length).send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::CREATED);
    assert_eq!(header(&begun, "upload-complete"), "?0");
    assert!(header(&begun, "upload-limit").contains("max-size="), "{begun:?}");
    header(&begun, "location")
}

/// Uploads as somebody who knows the draft and nothing else, in one go.
async fn upload(api: &Api, content: Vec<u8>) -> String {
    let path = location(api, content.len()).await;
    let answer = go_on(api, &path, 0, "?1").body(content).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    text_at(&answer.json().await.unwrap(), "/id")
}

async fn send(api: &Api, document: &str) -> String {
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "URBA", "documents": [{ "id": document }],
    });
    let (status, message) = api.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{message}");
    text_at(&message, "/message_id")
}

/// The item of the inbox, however long it takes.
async fn arrival(api: &Api, message: &str) -> Value {
    let end = Instant::now() + LONG;
    loop {
        match api.wait_for(message).await {
            Ok(item) => return item,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
}

/// A counter of a node; 0 before it was ever moved.
async fn counter(api: &Api, name: &str) -> u64 {
    let text = api.bytes("/metrics").await.map(|b| String::from_utf8(b).unwrap());
    let text = text.unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

/// Highest resident memory of a node, in KiB (proc(5)).
fn peak(net: &Net, node: usize) -> u64 {
    let pid = net.description().unwrap()["nodes"][node]["pid"].as_u64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn g1_an_upload_survives_a_kill_of_the_node() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let whole = document(24 * MIB);
    let path = location(&state, whole.len()).await;

    // Twenty mebibytes, and then a client that has nothing more to say while its node dies.
    let pieces: Vec<Bytes> = whole[..20 * MIB].chunks(MIB).map(Bytes::copy_from_slice).collect();
    let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let body = reqwest::Body::wrap_stream(pieces.chain(futures::stream::pending()));
    let stuck = tokio::spawn(go_on(&state, &path, 0, "?1").body(body).send());
    let uploads = net.dir().join("etat/content/uploads");
    let end = Instant::now() + LONG;
    let size = || {
        let files = std::fs::read_dir(&uploads).into_iter().flatten().flatten();
        files.filter_map(|f| Some(f.metadata().ok()?.len())).max().unwrap_or_default()
    };
    while size() < 19 * MIB as u64 {
        assert!(Instant::now() < end, "{} octets are there", size());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    net.kill("etat").unwrap();
    assert!(stuck.await.unwrap().is_err());
    net.start(&[]).unwrap();

    let at = stands(&state, &path).await;
    assert!((19 * MIB..=20 * MIB).contains(&at), "{at}");
    // Somebody else's upload does not exist; a wrong offset is told where it stands.
    let (town, other) = (net.town().await.unwrap(), net.state().await.unwrap());
    for method in [Method::HEAD, Method::DELETE] {
        let answer = town.request(method, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let wrong = go_on(&other, &path, at + 1, "?0").body("x").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    assert_eq!(header(&wrong, "content-type"), "application/problem+json");
    let problem: Value = wrong.json().await.unwrap();
    let kind = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["expected-offset"], at);
    assert_eq!(problem["provided-offset"], at + 1);

    let part = go_on(&state, &path, at, "?0").body(whole[at..at + 99].to_vec());
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&part, "upload-complete"), "?0");
    assert_eq!(stands(&state, &path).await, at + 99);
    let last = go_on(&state, &path, at + 99, "?1").body(whole[at + 99..].to_vec());
    let done: Value = last.send().await.unwrap().json().await.unwrap();
    assert_eq!(done["sha256"], sha256(&whole).to_string());
    assert_eq!(stands(&state, &path).await, whole.len());
    let more = go_on(&state, &path, whole.len(), "?1").send().await.unwrap();
    assert_eq!(more.status(), StatusCode::BAD_REQUEST);
    assert_eq!(std::fs::read_dir(&uploads).unwrap().count(), 0);

    let message = send(&state, &text_at(&done, "/id")).await;
    let item = arrival(&town, &message).await;
    ranges(&town, &item, &whole).await;
}

/// Ranges from the middle, over chunks, and what cannot be had.
async fn ranges(api: &Api, item: &Value, whole: &[u8]) {
    let delivery = text_at(item, "/delivery_id");
    let path = format!("/v1/inbox/{delivery}/documents/{}", text_at(item, "/documents/0/id"));
    let get = |range: String| api.request(Method::GET, &path).header("Range", range);
    let size = whole.len();
    for (first, last) in [(0, 0), (65_535, 65_536), (1_000_001, 1_300_000), (size - 9, size - 1)] {
        let answer = get(format!("bytes={first}-{last}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&answer, "content-range"), format!("bytes {first}-{last}/{size}"));
        assert_eq!(answer.bytes().await.unwrap(), &whole[first..=last]);
    }
    let beyond = get(format!("bytes={size}-")).send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{size}"));
    let other = get("bytes=0-9".to_owned()).header("If-Range", "\"else\"").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    assert_eq!(other.bytes().await.unwrap(), whole);
}

#[tokio::test]
async fn g2_curl_uploads_in_parts() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let whole = document(3 * MIB + 5);
    let parts = [&whole[..2 * MIB], &whole[2 * MIB..]];
    for (name, part) in ["one", "two"].iter().zip(parts) {
        std::fs::write(folder.path().join(name), part).unwrap();
    }
    let token = state.request(Method::GET, "/").build().unwrap();
    let token = token.headers()["authorization"].to_str().unwrap().to_owned();
    let curl = |arguments: &[&str], path: &str| {
        let call = std::process::Command::new("curl")
            .args(["-sS", "--fail-with-body", "-D", "-", "-H", &format!("Authorization: {token}")])
            .args(arguments)
            .arg(format!("{}{path}", state.url))
            .current_dir(folder.path())
            .output();
        call.ok().map(|o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned())
    };
    let first = [
        "--data-binary",
        "@one",
        "-H",
        "Upload-Complete: ?0",
        "-H",
        "Content-Type: application/pdf",
        "-H",
        "Content-Disposition: attachment; filename=\"plan.pdf\"",
    ];
    let Some(answer) = curl(&first, "/v1/documents?resumable") else {
        return skipped("uploads by curl", "curl is not installed");
    };
    let place = answer.lines().find_map(|l| l.strip_prefix("location: ")).expect(&answer).trim();
    let told = curl(&["-I"], place).unwrap();
    assert!(told.contains(&format!("upload-offset: {}", 2 * MIB)), "{told}");
    let offset = format!("Upload-Offset: {}", 2 * MIB);
    let second = [
        "-X",
        "PATCH",
        "--data-binary",
        "@two",
        "-H",
        &offset,
        "-H",
        "Upload-Complete: ?1",
        "-H",
        "Content-Type: application/partial-upload",
    ];
    let done = curl(&second, place).unwrap();
    assert!(done.contains(&sha256(&whole).to_string()), "{done}");
}

#[tokio::test]
async fn g3_pli_send_goes_on_by_itself() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let whole = document(40 * MIB);
    let file = net.dir().join("plan.pdf");
    std::fs::write(&file, &whole).unwrap();
    let dir = net.dir().display().to_string();
    let sending = std::process::Command::new(tests::net::pli().unwrap())
        .args(["send", "--net", &dir, "--as", &format!("etat/{}", state.siret)])
        .args(["--to", "34172", "--process", "URBA"])
        .arg(&file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let uploads = net.dir().join("etat/content/uploads");
    let begun = || {
        let files = std::fs::read_dir(&uploads).into_iter().flatten().flatten();
        files.filter_map(|f| Some(f.metadata().ok()?.len())).any(|l| l > MIB as u64)
    };
    let end = Instant::now() + LONG;
    while !begun() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    net.kill("etat").unwrap();
    net.start(&[]).unwrap();
    let output = tokio::task::spawn_blocking(|| sending.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
    let message = String::from_utf8(output.stdout).unwrap();
    let item = arrival(&town, message.trim()).await;
    assert_eq!(item["documents"][0]["sha256"], sha256(&whole).to_string());
}

#[tokio::test]
async fn g4_sixty_four_mebibytes_and_two_kills_embedded() {
    two_kills("embedded", None).await;
}

#[tokio::test]
async fn g4_sixty_four_mebibytes_and_two_kills_rabbitmq() {
    two_kills("RabbitMQ", Some("PLI_TEST_AMQP")).await;
}

#[tokio::test]
async fn g4_sixty_four_mebibytes_and_two_kills_kafka() {
    two_kills("Kafka", Some("PLI_TEST_KAFKA")).await;
}

/// The recipient's node is away: the sender's stays within its window. The sender's node dies: what
/// the broker has is not sent again. Memory stays small, and small messages pass meanwhile.
async fn two_kills(road: &str, variable: Option<&str>) {
    let url = match variable.map(std::env::var) {
        Some(Err(_)) => return skipped(&format!("g4 over {road}"), variable.unwrap_or_default()),
        Some(Ok(url)) => Some(url),
        None => None,
    };
    let options: Vec<&str> = url.iter().flat_map(|url| ["--backbone", url]).collect();
    let net = Net::up_with(&options).unwrap();
    let state = net.state().await.unwrap();
    let whole = document(64 * MIB);
    let parts = 129;
    let digest = sha256(&whole);
    let id = upload(&state, whole).await;
    net.kill("cd-34").unwrap();
    let message = send(&state, &id).await;
    const SENT: &str = "pli_content_parts_published_total";
    const GOT: &str = "pli_content_parts_received_total";
    let mut sent = 0;
    let end = Instant::now() + LONG;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = counter(&state, SENT).await;
        if now > 0 && now == sent {
            break;
        }
        sent = now;
        assert!(Instant::now() < end, "{sent} parts");
    }
    assert!((1..=AHEAD).contains(&sent), "{sent} parts are ahead");
    let before = peak(&net, 0);
    net.kill("etat").unwrap();
    net.start(&options).unwrap();
    // Connections of before are dead.
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let small = state.send_pdf("34172", "beside it").await.unwrap();
    town.wait_for(&text_at(&small, "/message_id")).await.unwrap();
    let item = arrival(&town, &message).await;
    let (again, got) = (counter(&state, SENT).await, counter(&town, GOT).await);
    assert!(sent + again <= parts + 8, "{sent} and {again} of {parts} parts were published");
    assert!((parts..=parts + 8).contains(&got), "{got} of {parts} parts were received");
    let path = format!("/v1/inbox/{}/documents/{id}", text_at(&item, "/delivery_id"));
    let mut answer = town.request(Method::GET, &path).send().await.unwrap();
    let mut sum = Sha256Stream::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        sum.update(&chunk);
    }
    assert_eq!(sum.finish(), digest);
    let peaks = [before, peak(&net, 0), peak(&net, 1)];
    eprintln!("{road}: peak memory {peaks:?} KiB; {sent} + {again} parts sent, {got} received");
    assert!(peaks.iter().all(|kib| *kib < 100 * 1024), "{peaks:?} KiB");
}
