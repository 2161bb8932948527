//! How the exhibits come about: what can happen to a message, each on real networks.
//!
//! ```text
//!   etat ---- national ---- cd-34 ---- departement ---- ville-34172
//!    |                        |                              |
//!   Service central      Saint-Guilhem                  Montpellier
//! ```
//!
//! - `young`: taken in the second of its submission, anchored or not;
//! - `delivered`: over one hop, taken over;
//! - `relayed`: over two hops, which makes two RelayAcceptances, with content beside the frame;
//! - `reply`: the commune's answer in the same conversation, as the commune proves it;
//! - `dealt-with`: with a business status of the recipient;
//! - `accepted`: the recipient was asked first, and accepted; `refused`: and refused, with a reason;
//! - `several`, `several-received`: three recipients, one document for the first alone; as the sender
//!   and as one recipient prove it;
//! - `local`: sender and recipient on one node;
//! - `failed`: held for a day by the operator, so that the relay failed; its acceptance was anchored
//!   only then, a day late;
//! - `services`: over RabbitMQ, from PostgreSQL, where they are there.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tests::net::{Api, Net, SOON, skipped, text_at};

use crate::exhibits::{Exhibit, Exhibits};

/// A day and an hour ago: what is sent then and held has failed by now.
const LONG_AGO_MS: &str = "-90000000";

/// Makes all exhibits.
///
/// # Errors
/// A network does not do what it should.
pub(crate) async fn all() -> Result<Exhibits> {
    let mut exhibits = Exhibits { roots: vec![], tsas: vec![], all: vec![] };
    chained(&mut exhibits).await?;
    services(&mut exhibits).await?;
    Ok(exhibits)
}

impl Exhibits {
    fn trust(&mut self, net: &Net) -> Result<()> {
        self.roots.push(std::fs::read(net.dir().join("trust/root.pem"))?);
        self.tsas.push(std::fs::read(net.dir().join("trust/tsa.pem"))?);
        Ok(())
    }
}

async fn chained(exhibits: &mut Exhibits) -> Result<()> {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
    let options = ["--topology", &topology.display().to_string()];
    let place = std::env::temp_dir();
    let past = [("PLI_CLOCK_OFFSET_MS", LONG_AGO_MS)];
    let mut net = Net::up_at(&place, &past, &options)?;
    let held = hold(&net).await?;
    net.set("PLI_CLOCK_OFFSET_MS", "0");
    net.start(&[])?;
    exhibits.trust(&net)?;
    let (sender, town) = (net.state().await?, net.member(2, 0).await?);
    let failed = exhibit("failed", &sender, &held, "relay_failed").await?;
    rule(&net, "release")?;
    let village = net.member(1, 0).await?;
    let all = &mut exhibits.all;
    let sent = sender.send_pdf("34261", "young").await?;
    let path = format!("/v1/messages/{}/proof", text_at(&sent, "/message_id"));
    all.push(Exhibit { name: "young", bundle: sender.bytes(&path).await?, xml: vec![] });
    conversation(all, &sender, &village).await?;
    relayed(all, &sender, &town).await?;
    consent(all, &sender, &town, &village).await?;
    several(all, [&sender, &town, &village]).await?;
    let document = sender.pdf("to ourselves").await?;
    let local = accepted(&sender, &message(&[to(&sender)], &[&document])).await?;
    take(&sender, &local).await?;
    all.push(exhibit("local", &sender, &local, "handed_over").await?);
    all.push(failed);
    Ok(())
}

/// A message that does not go out; then the network stops.
async fn hold(net: &Net) -> Result<Value> {
    net.kill("tsa")?;
    rule(net, "hold")?;
    let held = net.state().await?.send_pdf("34261", "held").await?;
    for node in ["etat", "cd-34", "ville-34172"] {
        net.kill(node)?;
    }
    Ok(held)
}

/// `pli hold` or `pli release`.
fn rule(net: &Net, verb: &str) -> Result<()> {
    let said = net.operate("etat", &[verb, "cd-34", "--reason", "maintenance"])?;
    ensure!(said.status.success(), "{verb}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// Taken over, dealt with, and answered.
async fn conversation(all: &mut Vec<Exhibit>, sender: &Api, village: &Api) -> Result<()> {
    let sent = sender.send_pdf("34261", "delivered").await?;
    let item = take(village, &sent).await?;
    all.push(exhibit("delivered", sender, &sent, "handed_over").await?);
    let answer = village.pdf("acte").await?;
    let mut reply = message(&[to(sender)], &[&answer]);
    reply["in_reply_to"] = sent["message_id"].clone();
    reply["conversation_id"] = item["conversation_id"].clone();
    let reply = accepted(village, &reply).await?;
    take(sender, &reply).await?;
    all.push(exhibit("reply", village, &reply, "handed_over").await?);
    let sent = sender.send_pdf("34261", "dealt with").await?;
    let item = take(village, &sent).await?;
    let done = json!({ "status": "done", "message": "acte délivré" });
    act(village, &item, "status", &done).await?;
    let told = |m: &Value| text_at(m, "/deliveries/0/business_status") == "done";
    sender.until(&text_at(&sent, "/message_id"), told).await?;
    all.push(exhibit("dealt-with", sender, &sent, "handed_over").await?);
    Ok(())
}

async fn relayed(all: &mut Vec<Exhibit>, sender: &Api, town: &Api) -> Result<()> {
    let content = format!("%PDF-1.4\n{}\n%%EOF\n", "plan ".repeat(80_000));
    ensure!(content.len() > 256 << 10, "beside the frame");
    let (_, document) = sender.upload("plan.pdf", "application/pdf", content.as_bytes()).await?;
    let sent = accepted(sender, &message(&[to(town)], &[&text_at(&document, "/id")])).await?;
    take(town, &sent).await?;
    let exhibit = exhibit("relayed", sender, &sent, "handed_over").await?;
    ensure!(exhibit.xml.len() == 5, "A.1, B.1 of each of two nodes, D.1, E.1");
    all.push(exhibit);
    Ok(())
}

/// The recipient is asked before it gets the content.
async fn consent(all: &mut Vec<Exhibit>, sender: &Api, town: &Api, village: &Api) -> Result<()> {
    let mut asked = Vec::new();
    for api in [town, village] {
        let document = sender.pdf("to be consented to").await?;
        let mut body = message(&[to(api)], &[&document]);
        body["requested"] = json!({ "consignment": "consent" });
        asked.push(accepted(sender, &body).await?);
    }
    let item = town.wait_for(&text_at(&asked[0], "/message_id")).await?;
    act(town, &item, "accept", &json!({})).await?;
    act(town, &item, "acknowledge", &json!({})).await?;
    let exhibit_of_acceptance = exhibit("accepted", sender, &asked[0], "handed_over").await?;
    let xml = exhibit_of_acceptance.xml.concat();
    let xml = String::from_utf8_lossy(&xml);
    for event in ["NotificationForAcceptance", "ConsignmentAcceptance"] {
        ensure!(xml.contains(event), "{event}: {xml}");
    }
    all.push(exhibit_of_acceptance);
    let item = village.wait_for(&text_at(&asked[1], "/message_id")).await?;
    act(village, &item, "refuse", &json!({ "reason": "pas de notre ressort" })).await?;
    all.push(exhibit("refused", sender, &asked[1], "refused").await?);
    Ok(())
}

async fn several(all: &mut Vec<Exhibit>, [sender, town, village]: [&Api; 3]) -> Result<()> {
    let (open, restricted) = (sender.pdf("for all").await?, sender.pdf("for the town").await?);
    let mut body = message(&[to(town), to(village), to(sender)], &[&open]);
    body["documents"] = json!([{ "id": open }, { "id": restricted, "recipients": [0] }]);
    let sent = accepted(sender, &body).await?;
    for api in [town, village, sender] {
        take(api, &sent).await?;
    }
    all.push(exhibit("several", sender, &sent, "handed_over").await?);
    all.push(exhibit("several-received", village, &sent, "handed_over").await?);
    Ok(())
}

/// The default network on a broker and a database server.
async fn services(exhibits: &mut Exhibits) -> Result<()> {
    let (Ok(amqp), Ok(pg)) = (std::env::var("PLI_TEST_AMQP"), std::env::var("PLI_TEST_PG")) else {
        skipped("an exhibit of RabbitMQ and PostgreSQL", "PLI_TEST_AMQP, PLI_TEST_PG");
        return Ok(());
    };
    let net = Net::up_with(&["--backbone", &amqp, "--store", &pg])?;
    exhibits.trust(&net)?;
    let (sender, town) = (net.state().await?, net.town().await?);
    let sent = sender.send_pdf("34172", "services").await?;
    take(&town, &sent).await?;
    exhibits.all.push(exhibit("services", &sender, &sent, "handed_over").await?);
    Ok(())
}

fn to(api: &Api) -> Value {
    json!({ "scheme": "iso6523:0009", "id": api.siret })
}

fn message(recipients: &[Value], documents: &[&str]) -> Value {
    let documents: Vec<Value> = documents.iter().map(|id| json!({ "id": id })).collect();
    json!({ "recipients": recipients, "process": "AEC", "documents": documents })
}

async fn accepted(api: &Api, message: &Value) -> Result<Value> {
    let (status, sent) = api.send(message).await?;
    ensure!(status.is_success(), "{status} {sent}");
    Ok(sent)
}

/// Takes a message over.
async fn take(api: &Api, sent: &Value) -> Result<Value> {
    let item = api.wait_for(&text_at(sent, "/message_id")).await?;
    act(api, &item, "acknowledge", &json!({})).await?;
    Ok(item)
}

async fn act(api: &Api, item: &Value, what: &str, body: &Value) -> Result<()> {
    let path = format!("/v1/inbox/{}/{what}", text_at(item, "/delivery_id"));
    let (status, said) = api.post(&path, body).await?;
    ensure!(status.is_success(), "{what}: {status} {said}");
    Ok(())
}

/// The bundle of a message once all its deliveries have come to `end` and all that is sealed is
/// anchored, and its evidence in XML.
async fn exhibit(name: &'static str, api: &Api, sent: &Value, end: &str) -> Result<Exhibit> {
    let id = text_at(sent, "/message_id");
    let ended = |m: &Value| {
        let deliveries = m.pointer("/deliveries").and_then(Value::as_array);
        deliveries.is_some_and(|all| all.iter().all(|d| text_at(d, "/state") == end))
    };
    let message = api.until(&id, ended).await?;
    let list = api.get(&format!("/v1/messages/{id}/evidence")).await?;
    let mut xml = Vec::new();
    for step in list.pointer("/items").and_then(Value::as_array).into_iter().flatten() {
        let path = format!("/v1/evidence/{}", text_at(step, "/evidence_id"));
        let request = api.request(Method::GET, &path).header("Accept", "application/xml");
        xml.push(request.send().await?.error_for_status()?.bytes().await?.to_vec());
    }
    let limit = Instant::now() + SOON;
    loop {
        let bundle = api.bytes(&format!("/v1/messages/{id}/proof")).await?;
        if complete(&bundle)? {
            return Ok(Exhibit { name, bundle, xml });
        }
        ensure!(Instant::now() < limit, "{name} is never anchored: {message}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Whether every sealed object has its record.
fn complete(bundle: &[u8]) -> Result<bool> {
    let archive = signing::container::zip::read(bundle)?;
    let entries = archive.accounts.first().into_iter().flatten();
    let (mut seals, mut records) = (0, 0);
    for entry in entries {
        seals += usize::from(entry.name.ends_with(".p7m"));
        records += usize::from(entry.name.ends_with(".ers"));
    }
    Ok(seals == records)
}
