//! (e5) A time-stamp authority that is away: messages flow, a second one is asked, and what waited
//! is anchored in order and says how late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use reqwest::StatusCode;
use serde_json::{Value, json};
use signing::authority::{Authority, AuthorityName, Profile, Subject};
use signing::signer::Algorithm;
use signing::tsa::Tsa;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tests::judges;
use tests::net::{Api, Net, state, text_at};

const HOUR: i64 = 3_600;

fn all_anchored(message: &Value) -> bool {
    let steps = message["deliveries"][0]["evidence"].as_array().unwrap();
    steps.iter().all(|s| s["anchored"].is_string())
}

/// The bundle of a message before `pli verify` with these anchors: exit code and report.
async fn verdict(net: &Net, id: &str, trust: &[&str]) -> (Option<i32>, Value) {
    let bundle = net.dir().join(format!("{id}.asice"));
    net.state().await.unwrap().proof(id, &bundle).await.unwrap();
    let bundle = bundle.display().to_string();
    let trust = trust.iter().map(|name| net.dir().join("trust").join(name).display().to_string());
    let mut args = vec!["verify".to_owned(), bundle, "--json".to_owned()];
    args.extend(trust.flat_map(|file| ["--trust".to_owned(), file]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = net.run(&args).unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Elements of a report of this kind.
fn of_kind<'a>(report: &'a Value, kind: &str) -> Vec<&'a Value> {
    report["elements"].as_array().unwrap().iter().filter(|e| e["kind"] == kind).collect()
}

#[tokio::test]
async fn e5_without_a_timestamp_authority_messages_flow_and_proofs_follow_late_and_in_order() {
    let mut net = Net::up().unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    net.kill("tsa").unwrap();
    let mut sent = Vec::new();
    for n in 0..3 {
        let message = sender.send_pdf("34172", &format!("late stamp {n}")).await.unwrap();
        sent.push(text_at(&message, "/message_id"));
    }
    for id in &sent {
        town.wait_for(id).await.unwrap();
        let waiting = sender.until(id, |m| state(m) == "consigned").await.unwrap();
        assert!(waiting["deliveries"][0]["evidence"][0]["anchored"].is_null());
    }
    let ready = sender.get("/health/ready").await.unwrap();
    let tsa = ready["dependencies"].as_array().unwrap().iter().find(|d| d["name"] == "tsa");
    assert_eq!(tsa.unwrap()["ready"], false);
    // Two hours pass, and the authority is back; what waits does not go under one token.
    for node in ["etat", "cd-34"] {
        net.kill(node).unwrap();
    }
    net.set("PLI_CLOCK_OFFSET_MS", &(2 * HOUR * 1_000).to_string());
    net.set("PLI__TSA__MAX_BATCH", "2");
    net.start(&[]).unwrap();
    let sender = net.state().await.unwrap();
    for id in &sent {
        let done = sender.until(id, all_anchored).await.unwrap();
        for step in done["deliveries"][0]["evidence"].as_array().unwrap() {
            let late = step["delay_seconds"].as_i64().unwrap();
            assert!((2 * HOUR..3 * HOUR).contains(&late), "{step}");
        }
    }
    anchored_in_order(&net).await;
    says_how_late(&net, &sent[0]).await;
    // Whoever sends now is anchored at once, and nothing is said about it.
    let fresh = sender.send_pdf("34172", "in time").await.unwrap();
    let fresh = sender.until(&text_at(&fresh, "/message_id"), all_anchored).await.unwrap();
    assert!(fresh["deliveries"][0]["evidence"][0]["delay_seconds"].is_null());
}

/// What a letter of this text is answered: `accepted`, or the code of the problem.
async fn answer_to(sender: &Api, text: &str) -> String {
    let id = sender.pdf(text).await.unwrap();
    let message = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": id }],
    });
    match sender.send(&message).await.unwrap() {
        (StatusCode::CREATED, _) => "accepted".to_owned(),
        (status, problem) => {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
            text_at(&problem, "/code")
        }
    }
}

/// Letters until one is answered so.
async fn until_answered(sender: &Api, answer: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let said = answer_to(sender, answer).await;
        if said == answer {
            return;
        }
        assert!(Instant::now() < end, "still {said}, not {answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// An archive that takes everything but anchors is as bad as an authority that gives no token: no
/// promise is made that would not be proved, and the door opens by itself.
#[tokio::test]
async fn an_archive_that_keeps_no_anchor_lets_no_letter_in_until_it_does() {
    let mut net = Net::up().unwrap();
    net.kill("etat").unwrap();
    net.set("PLI__LIMITS__MAX_UNANCHORED_AGE_S", "1");
    net.start(&[]).unwrap();
    let sender = net.state().await.unwrap();
    assert_eq!(answer_to(&sender, "before").await, "accepted");
    let url = format!("sqlite://{}", net.dir().join("etat/node.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let refuse = "create trigger kept_out before insert on anchors
                  begin select raise(abort, 'kept out'); end";
    database.execute(refuse).await.unwrap();
    until_answered(&sender, "timestamp-unavailable").await;
    database.execute("drop trigger kept_out").await.unwrap();
    until_answered(&sender, "accepted").await;
    let last = sender.send_pdf("34172", "afterwards").await.unwrap();
    sender.until(&text_at(&last, "/message_id"), all_anchored).await.unwrap();
    net.fsck("etat").unwrap();
}

/// Every anchor holds what comes next in the archive, and none is older than the one before.
async fn anchored_in_order(net: &Net) {
    let url = format!("sqlite://{}", net.dir().join("etat/node.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let sql = "select at, last_seq, length(leaves) / 32 from anchors order by id";
    let anchors: Vec<(i64, i64, i64)> = sqlx::query_as(sql).fetch_all(&mut database).await.unwrap();
    assert!(anchors.len() >= 4, "three messages, two objects under a token: {anchors:?}");
    for pair in anchors.windows(2) {
        let ((earlier, last, _), (later, next, leaves)) = (pair[0], pair[1]);
        assert!(earlier <= later && leaves <= 2, "{anchors:?}");
        assert_eq!(last + leaves, next, "nothing left out, nothing before its turn: {anchors:?}");
    }
    net.fsck("etat").unwrap();
}

/// Verifier, trace and report state the delay.
async fn says_how_late(net: &Net, id: &str) {
    let (code, report) = verdict(net, id, &["root.pem", "tsa.pem"]).await;
    assert_eq!((code, &report["valid"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let late = of_kind(&report, "evidence_record").into_iter().filter(|e| e["code"] == "delayed");
    let late: Vec<i64> = late.map(|e| e["delay_seconds"].as_i64().unwrap()).collect();
    assert_eq!(late.len(), 3, "A.1, B.1 and D.1: {report:#}");
    assert!(late.iter().all(|s| (2 * HOUR..3 * HOUR).contains(s)), "{late:?}");
    let unpacked = net.dir().join("unpacked");
    judges::unzip(&net.dir().join(format!("{id}.asice")), &unpacked).unwrap();
    let html = std::fs::read_to_string(unpacked.join("report.html")).unwrap();
    let html = html.replace("&#39;", "'");
    for said in ["Horodatage différé", "2 h 0 min après l'étape", "2 h 0 min after the step"] {
        assert!(html.contains(said), "{said}: {html}");
    }
}

/// An authority of time that has nothing to do with the network's; gives its address and anchor.
async fn second_authority() -> (String, String) {
    let subject = |name: &str| {
        let mut subject = Subject::named(name);
        subject.organization = Some("Second horodateur".to_owned());
        subject
    };
    let now = now();
    let name = AuthorityName {
        subject: subject("Second root"),
        base_url: "http://second.invalid".to_owned(),
    };
    let mut authority = Authority::create(name, now.plus(-60_000)).unwrap();
    let until = now.plus(15 * 365 * 24 * HOUR * 1_000);
    let enrolled = authority
        .enrol(&Profile::Tsa, &subject("Second TSA"), Algorithm::EcdsaP256Sha256, now, until)
        .unwrap();
    let policy = "1.3.6.1.4.1.99999.2".parse().unwrap();
    let crls = [authority.root_crl(now).unwrap()];
    let tsa = Tsa::new(enrolled.key, &enrolled.chain, &crls, policy).unwrap();
    let answer = async |State(tsa): State<Arc<Tsa>>, query: Bytes| tsa.respond(&query, self::now());
    let app = Router::new().route("/", post(answer)).with_state(Arc::new(tsa));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, authority.root_pem().unwrap())
}

fn now() -> schemas::time::Timestamp {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    schemas::time::Timestamp::from_millis(i64::try_from(now).unwrap())
}

#[tokio::test]
async fn e5_when_the_first_authority_is_gone_the_second_anchors() {
    let net = Net::up().unwrap();
    let (second, anchor) = second_authority().await;
    std::fs::write(net.dir().join("trust/second.pem"), anchor).unwrap();
    let file = net.dir().join("etat/node.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let first = text_at(&net.description().unwrap(), "/tsa_url");
    let after = before
        .replace(&format!("[\"{first}\"]"), &format!("[\"{first}\", \"{second}\"]"))
        .replace("\"../trust/tsa.pem\"", "\"../trust/tsa.pem\", \"../trust/second.pem\"");
    assert_eq!(after.matches("second.pem").count() + after.matches(&second).count(), 2, "{after}");
    std::fs::write(&file, after).unwrap();
    net.kill("etat").unwrap();
    net.start(&[]).unwrap();
    let sender = net.state().await.unwrap();
    let signers = |report: &Value| {
        let of = |e: &&Value| text_at(e, "/signer");
        of_kind(report, "evidence_record").iter().map(of).collect::<Vec<_>>()
    };
    for (alive, expected, others) in
        [(true, "tsa.pem", "second.pem"), (false, "second.pem", "tsa.pem")]
    {
        if !alive {
            net.kill("tsa").unwrap();
        }
        let sent = sender.send_pdf("34172", "two authorities").await.unwrap();
        let id = text_at(&sent, "/message_id");
        let consigned = |m: &Value| state(m) == "consigned" && all_anchored(m);
        let done = sender.until(&id, consigned).await.unwrap();
        assert!(done["deliveries"][0]["evidence"][0]["delay_seconds"].is_null());
        let (code, report) = verdict(&net, &id, &["root.pem", expected]).await;
        assert_eq!(code, Some(0), "{expected}: {report:#}");
        let by_second = signers(&report).iter().filter(|s| s.contains("Second TSA")).count();
        assert_eq!(by_second, if alive { 0 } else { 4 }, "{:?}", signers(&report));
        let (code, report) = verdict(&net, &id, &["root.pem", others]).await;
        assert_eq!((code, &report["verdict"]), (Some(4), &Value::from("indeterminate")));
    }
}
