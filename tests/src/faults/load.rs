//! Senders and recipients, as software of members behaves: a call without an answer is repeated
//! with its key, at another process of the node where there is one. Both write down what they were
//! told and what they hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use reqwest::Method;
use schemas::digest::Digest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::ground::Ground;
use super::schedule::Dice;
use crate::net::text_at;

/// How long the last message may take after everything was healed.
const DRAIN: Duration = Duration::from_secs(300);
/// Deliveries that a recipient takes at once.
const HANDS: usize = 4;
/// Wait before a call is repeated.
const AGAIN: Duration = Duration::from_millis(150);

/// A message that a sender was told to be accepted.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its id.
    pub message: String,
    /// Node and member of the sender, by place.
    pub sender: (usize, usize),
    /// Node of the recipient, by place.
    pub recipient: usize,
    /// Of the document.
    pub sha256: Digest,
}

/// What both sides wrote down.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By senders.
    pub told: Vec<Told>,
    /// By recipients: message, then delivery, with the digest of the document.
    pub held: BTreeMap<String, BTreeMap<String, Digest>>,
    /// Answers that no rule explains.
    pub complaints: Vec<String>,
    /// Calls that got no answer, or one that asked to come back.
    pub repeated: usize,
}

type Book = Arc<Mutex<Ledger>>;

fn write(book: &Book, what: impl FnOnce(&mut Ledger)) {
    what(&mut book.lock().unwrap_or_else(PoisonError::into_inner));
}

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Messages a second at most, until it is enough; one client of each member.
    Rate(f64),
    /// So many messages in all, from so many clients at once, each as soon as the one before was
    /// answered.
    Burst {
        /// In all.
        messages: usize,
        /// At once.
        clients: usize,
    },
}

impl Pace {
    /// Clients of so many members.
    fn clients(self, members: usize) -> usize {
        match self {
            Self::Rate(_) => members,
            Self::Burst { clients, .. } => clients,
        }
    }

    fn pause(self, members: usize) -> Duration {
        match self {
            Self::Rate(rate) => Duration::from_secs_f64(members as f64 / rate.max(0.1)),
            Self::Burst { .. } => Duration::ZERO,
        }
    }

    const fn end(self) -> usize {
        match self {
            Self::Rate(_) => usize::MAX,
            Self::Burst { messages, .. } => messages,
        }
    }

    /// Octets of a document: inside the frame, beside it in one part, and in several.
    fn size(self, dice: &mut Dice) -> usize {
        match (self, dice.below(20)) {
            (Self::Rate(_), 0) => 1_500_000,
            (Self::Rate(_), 1..=3) | (Self::Burst { .. }, 0) => 300_000,
            _ => 1_000,
        }
    }
}

/// The load of a campaign.
#[derive(Debug)]
pub struct Load {
    book: Book,
    enough: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
    recipients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Every member sends to members of other nodes, and reads its inbox.
    ///
    /// # Errors
    /// The network cannot be read.
    pub async fn start(ground: &Ground, pace: Pace, seed: u64) -> Result<Self> {
        let description = ground.net().description()?;
        let members = members(&description);
        let book = Book::default();
        let (enough, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let next = Arc::new(AtomicUsize::new(0));
        let mut dice = Dice::new(seed ^ 0x5eed);
        let mut senders = Vec::new();
        let mut recipients = Vec::new();
        for member in members.iter().cycle().take(pace.clients(members.len())) {
            let others: Vec<(usize, String)> = members
                .iter()
                .filter(|other| other.place.0 != member.place.0)
                .map(|other| (other.place.0, other.siret.clone()))
                .collect();
            let sender = Sender {
                api: member.api.clone(),
                place: member.place,
                others,
                book: Arc::clone(&book),
                dice: Dice::new(dice.bits()),
                next: Arc::clone(&next),
                pace,
                pause: pace.pause(members.len()),
            };
            senders.push(tokio::spawn(sender.run(Arc::clone(&enough))));
        }
        for member in &members {
            let (api, book) = (member.api.clone(), Arc::clone(&book));
            recipients.push(tokio::spawn(receive(api, book, Arc::clone(&done))));
        }
        Ok(Self { book, enough, done, senders, recipients })
    }

    /// Messages whose senders were told that they are accepted.
    #[must_use]
    pub fn told(&self) -> usize {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).told.len()
    }

    /// Whether every sender has had its last answer.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.senders.iter().all(JoinHandle::is_finished)
    }

    /// Ends the load: every sender gets its last answer, every recipient what is on its way.
    ///
    /// # Errors
    /// Somebody panicked.
    pub async fn finish(self) -> Result<Ledger> {
        self.enough.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.await.context("a sender")?;
        }
        let end = Instant::now() + DRAIN;
        let all_here = || {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.told.iter().all(|told| book.held.contains_key(&told.message))
        };
        while !all_here() && Instant::now() < end {
            tokio::time::sleep(AGAIN).await;
        }
        // What should not come would come now.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.done.store(true, Ordering::Relaxed);
        for recipient in self.recipients {
            recipient.await.context("a recipient")?;
        }
        let ledger = self.book.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(ledger)
    }
}

struct Member {
    place: (usize, usize),
    siret: String,
    api: Arc<Caller>,
}

fn members(description: &Value) -> Vec<Member> {
    let mut all = Vec::new();
    for (n, node) in description["nodes"].as_array().into_iter().flatten().enumerate() {
        let replicas = node["replicas"].as_array().into_iter().flatten();
        let urls: Vec<String> =
            std::iter::once(node).chain(replicas).map(|one| text_at(one, "/url")).collect();
        for (m, member) in node["members"].as_array().into_iter().flatten().enumerate() {
            let api = Caller {
                http: reqwest::Client::new(),
                urls: urls.clone(),
                turn: AtomicUsize::new(m),
                id: text_at(member, "/client_id"),
                secret: text_at(member, "/client_secret"),
                token: tokio::sync::Mutex::default(),
            };
            let siret = text_at(member, "/id");
            all.push(Member { place: (n, m), siret, api: Arc::new(api) });
        }
    }
    all
}

/// A client of one member, at any process of its node.
#[derive(Debug)]
pub struct Caller {
    http: reqwest::Client,
    urls: Vec<String>,
    turn: AtomicUsize,
    id: String,
    secret: String,
    token: tokio::sync::Mutex<Option<String>>,
}

/// A request, before it is sent.
type Prepare<'a> = &'a (dyn Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder + Sync);

impl Caller {
    /// One attempt; none without an answer, or with one that asks to come back.
    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        prepare: Prepare<'_>,
    ) -> Option<(u16, Vec<u8>)> {
        let turn = self.turn.load(Ordering::Relaxed);
        let url = self.urls.get(turn % self.urls.len().max(1))?;
        let answer = self.call(url, method, path, prepare).await;
        if answer.is_none() {
            self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        }
        answer
    }

    async fn call(
        &self,
        url: &str,
        method: &Method,
        path: &str,
        prepare: Prepare<'_>,
    ) -> Option<(u16, Vec<u8>)> {
        let token = self.token(url).await?;
        let request = self.http.request(method.clone(), format!("{url}{path}"));
        let request = request.bearer_auth(token).timeout(Duration::from_secs(20));
        let answer = prepare(request).send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.ok()?.to_vec();
        if status == 401 {
            *self.token.lock().await = None;
            return None;
        }
        (status < 500 && status != 429).then_some((status, body))
    }

    async fn token(&self, url: &str) -> Option<String> {
        let mut held = self.token.lock().await;
        if held.is_none() {
            let request = self.http.post(format!("{url}/oauth2/token"));
            let request = request.basic_auth(&self.id, Some(&self.secret));
            let form = [("grant_type", "client_credentials")];
            let request = request.form(&form).timeout(Duration::from_secs(10));
            let answer: Value = request.send().await.ok()?.json().await.ok()?;
            *held = answer["access_token"].as_str().map(str::to_owned);
        }
        held.clone()
    }

    /// Until there is an answer, or `stop` says that it is not wanted any more.
    async fn surely(
        &self,
        method: &Method,
        path: &str,
        prepare: Prepare<'_>,
        (book, stop): (&Book, &(dyn Fn() -> bool + Sync)),
    ) -> Option<(u16, Vec<u8>)> {
        loop {
            if let Some(answer) = self.attempt(method, path, prepare).await {
                return Some(answer);
            }
            if stop() {
                return None;
            }
            write(book, |b| b.repeated += 1);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

struct Sender {
    api: Arc<Caller>,
    place: (usize, usize),
    others: Vec<(usize, String)>,
    book: Book,
    dice: Dice,
    /// Number of the next message of any sender.
    next: Arc<AtomicUsize>,
    pace: Pace,
    pause: Duration,
}

impl Sender {
    async fn run(mut self, enough: Arc<AtomicBool>) {
        while !enough.load(Ordering::Relaxed) {
            let begin = Instant::now();
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.pace.end() {
                return;
            }
            self.one(n).await;
            tokio::time::sleep(self.pause.saturating_sub(begin.elapsed())).await;
        }
    }

    async fn one(&mut self, n: usize) {
        let Some((recipient, siret)) = self.dice.one(&self.others).cloned() else { return };
        let size = self.pace.size(&mut self.dice);
        let text = format!("{:?}/{n} ", self.place);
        let body = format!("%PDF-1.4\n{}\n%%EOF\n", text.repeat(size / text.len()));
        let sha256 = signing::digest::sha256(body.as_bytes());
        let never = || false;
        let upload = |request: reqwest::RequestBuilder| {
            let name = "attachment; filename*=UTF-8''pli.pdf";
            let request = request.header("Content-Type", "application/pdf");
            request.header("Content-Disposition", name).body(body.clone())
        };
        let stop = (&self.book, &never as &(dyn Fn() -> bool + Sync));
        let path = "/v1/documents";
        let Some((status, answer)) = self.api.surely(&Method::POST, path, &upload, stop).await
        else {
            return;
        };
        let document: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status != 201 {
            return self.complain("upload", status, &document);
        }
        let key = format!("{}-{}-{n}", self.place.0, self.place.1);
        let message = json!({
            "recipients": [{ "scheme": "iso6523:0009", "id": siret }], "process": "URBA",
            "sender_ref": key, "documents": [{ "id": document["id"] }],
        });
        let send = |request: reqwest::RequestBuilder| {
            request.header("Idempotency-Key", &key).json(&message)
        };
        let sent = self.api.surely(&Method::POST, "/v1/messages", &send, stop).await;
        let Some((status, answer)) = sent else { return };
        let sent: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status != 201 {
            return self.complain("message", status, &sent);
        }
        let message = text_at(&sent, "/message_id");
        let told = Told { message, sender: self.place, recipient, sha256 };
        write(&self.book, |book| book.told.push(told));
    }

    fn complain(&self, what: &str, status: u16, answer: &Value) {
        let text = format!("{what} of {:?}: {status} {answer}", self.place);
        write(&self.book, |book| book.complaints.push(text));
    }
}

/// Reads an inbox until all is done: every document, then the acknowledgement.
async fn receive(api: Arc<Caller>, book: Book, done: Arc<AtomicBool>) {
    let stop = || done.load(Ordering::Relaxed);
    let with = (&book, &stop as &(dyn Fn() -> bool + Sync));
    let plain = |request: reqwest::RequestBuilder| request;
    while !stop() {
        let path = "/v1/inbox?limit=50&after=s0";
        let Some((_, page)) = api.surely(&Method::GET, path, &plain, with).await else { return };
        let page: Value = serde_json::from_slice(&page).unwrap_or_default();
        let items: Vec<Value> = page["items"].as_array().cloned().unwrap_or_default();
        let all = futures::stream::iter(items);
        all.for_each_concurrent(HANDS, |item| take(&api, item, with)).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Takes one delivery: every octet, then the acknowledgement, then the line in the ledger.
async fn take(api: &Caller, item: Value, with: (&Book, &(dyn Fn() -> bool + Sync))) {
    let (book, _) = with;
    let plain = |request: reqwest::RequestBuilder| request;
    let empty = |request: reqwest::RequestBuilder| request.json(&json!({}));
    let delivery = text_at(&item, "/delivery_id");
    let document = text_at(&item, "/documents/0/id");
    let at = format!("/v1/inbox/{delivery}");
    let path = format!("{at}/documents/{document}");
    let Some((status, body)) = api.surely(&Method::GET, &path, &plain, with).await else { return };
    if status != 200 {
        let text = format!("document of {delivery}: {status}");
        write(book, |book| book.complaints.push(text));
    }
    let path = format!("{at}/acknowledge");
    let Some((status, _)) = api.surely(&Method::POST, &path, &empty, with).await else { return };
    if status != 200 {
        let text = format!("acknowledgement of {delivery}: {status}");
        write(book, |book| book.complaints.push(text));
    }
    let sha256 = signing::digest::sha256(&body);
    let message = text_at(&item, "/message_id");
    write(book, |book| {
        book.held.entry(message).or_default().insert(delivery, sha256);
    });
}
