//! (e5) Authorities asked over HTTP, one after another: whatever the first does, the second is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use const_oid::ObjectIdentifier;
use der::asn1::OctetString;
use der::{Decode, Encode};
use schemas::time::MINUTE;
use signing::digest::sha256;
use signing::path::PathError;
use signing::signer::Algorithm;
use signing::trust::Anchors;
use signing::tsa::{QUERY_TYPE, REPLY_TYPE};
use signing::tsp::wire::{TimeStampReq, TimeStampResp, unsigned};
use signing::tsp::{AskError, NoToken, Token, TsaClient, TspError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{self, Room, openssl_missing};
use crate::network::{Network, POLICY, YEAR, network, tsa_under};
use crate::tokens::openssl_authority;

const OTHER_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.2");
/// More than a machine under load needs for one answer, less than a test may take.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The body of an answer, from that of a request.
type Answer = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// What an authority does with the body of a request.
enum Does {
    Answers(Box<Answer>),
    Says(&'static str, Vec<u8>),
    /// Accepts the connection and never answers.
    Hangs,
    /// Promises an answer, gives an octet of it, and no more.
    Stalls,
}

/// An authority on a port of this machine, which counts the requests that it understood.
struct Office {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Office {
    async fn open(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tsa", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, does) = (Arc::clone(&asked), Arc::new(does));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (count, does) = (Arc::clone(&count), Arc::clone(&does));
                tokio::spawn(async move { serve(stream, &does, &count).await });
            }
        });
        Self { url, asked }
    }

    async fn of(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::open(Does::Answers(Box::new(answer))).await
    }

    /// The built-in authority of a network, on time.
    async fn honest(net: &Network) -> Self {
        let tsa = net.tsa.clone();
        Self::of(move |query| tsa.respond(query, common::now())).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// One request of RFC 3161 §3.4: `POST`, the media type, and nothing but the query.
async fn serve(stream: TcpStream, does: &Does, asked: &AtomicUsize) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length, mut typed) = (String::new(), 0, false);
    while stream.read_line(&mut head).await.ok()? > 2 {
        let line = head.lines().last()?.to_ascii_lowercase();
        typed |= line == format!("content-type: {QUERY_TYPE}");
        length = line.strip_prefix("content-length: ").map_or(length, |n| n.parse().unwrap());
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await.ok()?;
    assert!(head.starts_with("POST /tsa HTTP/1.1\r\n") && typed, "{head}");
    assert!(TimeStampReq::from_der(&query).is_ok());
    asked.fetch_add(1, Ordering::SeqCst);
    let (status, body) = match does {
        Does::Answers(answer) => ("200 OK", answer(&query)),
        Does::Says(status, body) => (*status, body.clone()),
        Does::Hangs => std::future::pending().await,
        Does::Stalls => {
            stream.write_all(&reply("200 OK", 2_000)).await.ok()?;
            stream.write_all(&[0x30]).await.ok()?;
            stream.flush().await.ok()?;
            std::future::pending().await
        }
    };
    stream.write_all(&[reply(status, body.len()), body].concat()).await.ok()?;
    stream.flush().await.ok()
}

fn reply(status: &str, length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {REPLY_TYPE}\r\n");
    format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A port on which nobody listens.
async fn dead() -> String {
    let free: SocketAddr = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    format!("http://{free}/tsa")
}

/// The answer of `tsa` to another question than was asked.
fn misread<C: Fn(&mut TimeStampReq)>(
    net: &Network,
    change: C,
) -> impl Fn(&[u8]) -> Vec<u8> + use<C> {
    let tsa = net.tsa.clone();
    move |query| {
        let mut request = TimeStampReq::from_der(query).unwrap();
        change(&mut request);
        tsa.respond(&request.to_der().unwrap(), common::now())
    }
}

/// An answer granted with modifications (RFC 3161 §2.4.2).
fn with_mods(answer: &[u8]) -> Vec<u8> {
    let mut response = TimeStampResp::from_der(answer).unwrap();
    response.status.status = 1;
    response.to_der().unwrap()
}

fn client(net: &Network, urls: &[&str]) -> TsaClient {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    TsaClient::new(urls).patient(PATIENCE).trusting(net.anchors.clone())
}

async fn ask(client: &TsaClient) -> Result<Token, NoToken> {
    client.stamp(&sha256(b"la racine"), common::now()).await
}

/// What a first authority that answers `first` is reproached with; the second must have helped.
async fn passed_over(net: &Network, first: &Office) -> AskError {
    let second = Office::honest(net).await;
    let token = ask(&client(net, &[&first.url, &second.url])).await.unwrap();
    token.verify(&sha256(b"la racine"), &net.anchors, common::now().plus(1000)).unwrap();
    assert_eq!((first.asked(), second.asked()), (1, 1));
    let alone = ask(&client(net, &[&first.url])).await.unwrap_err();
    let [(url, why)] = <[_; 1]>::try_from(alone.failures).unwrap();
    assert_eq!(url, first.url);
    why
}

#[tokio::test]
async fn the_first_authority_that_answers_well_is_the_only_one_asked() {
    let net = network();
    let (first, second) = (Office::honest(&net).await, Office::honest(&net).await);
    let client = client(&net, &[&first.url, &second.url]);
    for _ in 0..3 {
        let token = ask(&client).await.unwrap();
        token.verify(&sha256(b"la racine"), &net.anchors, common::now().plus(1000)).unwrap();
    }
    assert_eq!((first.asked(), second.asked()), (3, 0));
}

#[tokio::test]
async fn an_authority_that_is_dead_is_passed_over() {
    let net = network();
    let (first, second) = (dead().await, Office::honest(&net).await);
    ask(&client(&net, &[&first, &second.url])).await.unwrap();
    assert_eq!(second.asked(), 1);
}

#[tokio::test]
async fn an_authority_that_hangs_or_stalls_is_passed_over_in_bounded_time() {
    let net = network();
    for does in [Does::Hangs, Does::Stalls] {
        let (first, second) = (Office::open(does).await, Office::honest(&net).await);
        let began = Instant::now();
        ask(&client(&net, &[&first.url, &second.url])).await.unwrap();
        assert!(began.elapsed() >= PATIENCE, "the first was given its time");
        assert!(began.elapsed() < 3 * PATIENCE, "{:?}", began.elapsed());
        assert_eq!((first.asked(), second.asked()), (1, 1));
    }
}

#[tokio::test]
async fn an_authority_that_hangs_keeps_one_stamp_in_a_minute_waiting() {
    let net = network();
    let (first, second) = (Office::open(Does::Hangs).await, Office::honest(&net).await);
    let client = client(&net, &[&first.url, &second.url]);
    ask(&client).await.unwrap();
    for _ in 0..3 {
        ask(&client.clone()).await.unwrap();
    }
    assert_eq!((first.asked(), second.asked()), (1, 4));
    // A minute later it has its chance again; the second is then as good as ever.
    let later = common::now().plus(MINUTE);
    let later = client.stamp(&sha256(b"la racine"), later).await;
    assert_eq!((first.asked(), second.asked()), (2, 5), "{later:?}");
}

#[tokio::test]
async fn when_all_were_missed_all_are_asked_again_in_their_order() {
    let net = network();
    let (first, second) = (dead().await, dead().await);
    let client = client(&net, &[&first, &second]);
    for _ in 0..2 {
        let NoToken { failures } = ask(&client).await.unwrap_err();
        let asked: Vec<&str> = failures.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(asked, [&first, &second]);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_passed_over() {
    let net = network();
    let page = b"<!doctype html><title>Maintenance</title>".to_vec();
    let cases = [
        ("503 Service Unavailable", page.clone(), "HTTP 503"),
        ("302 Found", Vec::new(), "HTTP 302"),
        ("200 OK", page, "not a time-stamp"),
        ("200 OK", Vec::new(), "not a time-stamp"),
        ("200 OK", vec![0; 2 << 20], "larger than any token"),
    ];
    for (status, body, reproach) in cases {
        let first = Office::open(Does::Says(status, body)).await;
        let why = passed_over(&net, &first).await.to_string();
        assert!(why.contains(reproach), "{status}: {why}");
    }
}

#[tokio::test]
async fn a_token_for_another_hash_or_request_is_passed_over() {
    let net = network();
    let other = OctetString::new(sha256(b"autre chose").as_bytes().as_slice()).unwrap();
    let hash = misread(&net, move |r| r.message_imprint.hashed_message = other.clone());
    let why = passed_over(&net, &Office::of(hash).await).await;
    assert!(matches!(why, AskError::Answer(TspError::OtherImprint)), "{why}");
    let nonces = [None, Some(unsigned(&[7; 8]).unwrap())];
    for nonce in nonces {
        let changed = misread(&net, move |r| r.nonce.clone_from(&nonce));
        let why = passed_over(&net, &Office::of(changed).await).await;
        let AskError::Answer(TspError::NotAsked(said)) = why else { panic!("{why}") };
        assert!(said.contains("nonce"), "{said}");
    }
    let bare = misread(&net, |r| r.cert_req = false);
    let why = passed_over(&net, &Office::of(bare).await).await;
    assert!(matches!(why, AskError::Answer(TspError::Malformed(_))), "{why}");
}

#[tokio::test]
async fn a_token_that_was_played_back_is_passed_over() {
    let net = network();
    let kept = std::sync::OnceLock::new();
    let tsa = net.tsa.clone();
    let replays =
        Office::of(move |query| kept.get_or_init(|| tsa.respond(query, common::now())).clone())
            .await;
    ask(&client(&net, &[&replays.url])).await.unwrap();
    let why = ask(&client(&net, &[&replays.url])).await.unwrap_err();
    assert!(why.to_string().contains("nonce"), "{why}");
}

#[tokio::test]
async fn a_refusal_is_passed_over_and_its_words_are_kept() {
    let net = network();
    let refuses = misread(&net, |r| r.version = 9);
    let why = passed_over(&net, &Office::of(refuses).await).await;
    assert!(why.to_string().contains("version is not 1"), "{why}");
}

#[tokio::test]
async fn an_authority_with_a_wrong_clock_is_passed_over_and_the_clock_is_named() {
    let net = network();
    let tsa = net.tsa.clone();
    let fast = Office::of(move |query| tsa.respond(query, common::now().plus(3 * MINUTE))).await;
    let why = passed_over(&net, &fast).await;
    assert!(matches!(why, AskError::Answer(TspError::Clock { .. })), "{why}");
    let alone = ask(&client(&net, &[&fast.url])).await.unwrap_err();
    assert!(alone.clock().unwrap().contains("behind"), "{:?}", alone.clock());
}

#[tokio::test]
async fn a_stranger_s_token_is_passed_over() {
    let (net, stranger) = (network(), network());
    let why = passed_over(&net, &Office::honest(&stranger).await).await;
    let unknown = AskError::Answer(TspError::Path(PathError::UnknownAuthority));
    assert_eq!(why.to_string(), unknown.to_string());
    // Whom to trust is the caller's to say: without anchors the signature alone is judged.
    let office = Office::honest(&stranger).await;
    ask(&TsaClient::new(vec![office.url.clone()])).await.unwrap();
}

/// RFC 3161 §2.4.2: `grantedWithMods` brings a token too. It counts if it is what was asked, as for
/// OpenSSL; what it modified, such as the policy, must not be what was demanded.
#[tokio::test]
async fn granted_with_modifications_counts_only_when_nothing_asked_was_modified() {
    let mut net = network();
    let tsa = net.tsa.clone();
    let same = Office::of(move |query| with_mods(&tsa.respond(query, common::now()))).await;
    ask(&client(&net, &[&same.url]).under(POLICY)).await.unwrap();
    let answer = misread(&net, |r| r.req_policy = None);
    let other = Office::of(move |query| with_mods(&answer(query))).await;
    let tsa = tsa_under(&mut net.authority, Algorithm::EcdsaP256Sha256, YEAR, OTHER_POLICY);
    let second = Office::of(move |query| tsa.respond(query, common::now())).await;
    let client = client(&net, &[&other.url, &second.url]).under(OTHER_POLICY);
    assert_eq!(ask(&client).await.unwrap().policy(), OTHER_POLICY);
    let alone = TsaClient::new(vec![other.url.clone()]).under(OTHER_POLICY);
    let why = ask(&alone).await.unwrap_err();
    assert!(why.to_string().contains("the policy differs"), "{why}");
}

#[tokio::test]
async fn when_all_fail_each_is_named_with_what_it_did_in_the_order_asked() {
    let net = network();
    let (gone, silent) = (dead().await, Office::open(Does::Hangs).await);
    let busy = Office::open(Does::Says("503 Service Unavailable", Vec::new())).await;
    let stranger = Office::honest(&network()).await;
    let urls = [&gone, &silent.url, &busy.url, &stranger.url].map(String::as_str);
    let why = ask(&client(&net, &urls)).await.unwrap_err();
    let named: Vec<&str> = why.failures.iter().map(|(url, _)| url.as_str()).collect();
    assert_eq!(named, urls);
    let text = why.to_string();
    for url in urls {
        assert_eq!(text.matches(url).count(), 1, "{text}");
    }
    for said in ["not reached", "HTTP 503", "the authority's certificate"] {
        assert!(text.contains(said), "{text}");
    }
    let nobody = ask(&client(&net, &[])).await.unwrap_err();
    assert!(nobody.failures.is_empty());
}

#[tokio::test]
async fn an_openssl_authority_stands_in_for_a_dead_one() {
    if openssl_missing() {
        return;
    }
    let room = Arc::new(Room::new());
    openssl_authority(&room, 3);
    let foreign = Office::of({
        let room = Arc::clone(&room);
        move |query| {
            room.put("q.tsq", query);
            room.openssl_ok("ts -reply -config tsa.cnf -queryfile q.tsq -out r.tsr");
            room.get("r.tsr")
        }
    })
    .await;
    let anchors = Anchors::from_pem(&room.get("ca.pem")).unwrap();
    let urls = vec![dead().await, foreign.url.clone()];
    let client = TsaClient::new(urls).trusting(anchors);
    let token = ask(&client).await.unwrap();
    assert!(token.authority().contains("TSA"), "{}", token.authority());
    let off = token.gen_time().since(common::now()).abs();
    assert!(off < MINUTE, "{off} ms");
}
