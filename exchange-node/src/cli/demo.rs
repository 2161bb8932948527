//! `pli localnet demo`: one exchange with its answer, and its proofs, told to a person.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use schemas::api::{InboxItem, MessageView, Page, Receipt};
use serde_json::json;
use signing::trust::Anchors;

use super::client::{Client, parsed};
use super::send::upload;
use super::{Call, Text, text, trace};
use crate::clock::{self, Clock as _};
use crate::localnet::description::{Description, MemberFacts, NodeFacts};

/// Longest wait for a step of the story.
const PATIENCE: Duration = Duration::from_secs(30);

const SEND: Text = text(
    "\n1. {0} sends a civil status request (a PDF and an XML) to {1}, by its commune code {2}.",
    "\n1. {0} envoie une demande d'état civil (un PDF et un XML) à {1}, par son code commune {2}.",
);
const ACCEPTED: Text = text(
    "   Its node answers in one call: accepted, and here is the sealed proof of submission.",
    "   Son nœud répond aussitôt : accepté, et voici la preuve de dépôt scellée.",
);
const ARRIVED: Text = text(
    "\n2. Node {0} verifies the seal, seals its own evidence, and makes the message available.",
    "\n2. Le nœud {0} vérifie le cachet, scelle ses propres preuves, et met le pli à disposition.",
);
const TAKEN: Text = text(
    "\n3. {0} downloads the documents and takes them over: a proof of handover is sealed.",
    "\n3. {0} télécharge les documents et les prend en charge : une preuve de remise est scellée.",
);
const REPLY: Text = text(
    "\n4. {0} answers in the same conversation; {1} takes the answer over.",
    "\n4. {0} répond dans la même conversation ; {1} prend la réponse en charge.",
);
const TRACE: Text = text("\n5. What the sender sees:", "\n5. Ce que voit l'expéditeur :");
const BUNDLE: Text = text(
    "\n6. Everything that proves it, in one file: {0}",
    "\n6. Tout ce qui le prouve, en un seul fichier : {0}",
);
const HOLDS: Text = text(
    "   verified offline: {0} elements, all hold.",
    "   vérifié hors ligne : {0} éléments, tous tiennent.",
);
const BY_HAND: Text = text(
    "\nBy hand:\n   pli verify {0} --trust {1} --trust {2}\n   pli localnet status --dir {3}\n   \
     pli localnet down --dir {3}",
    "\nÀ la main :\n   pli verify {0} --trust {1} --trust {2}\n   pli localnet status --dir {3}\n   \
     pli localnet down --dir {3}",
);

/// Plays the exchange on a running network.
pub(super) async fn play(dir: &Path, call: &Call) -> anyhow::Result<()> {
    let network = Description::read(dir)?;
    let (state, commune) = cast(&network)?;
    let sender = connect(state).await?;
    let town = connect(commune).await?;
    let files = dir.join("demo");
    std::fs::create_dir_all(&files)?;
    // The story is talk: it goes to standard error, also beside JSON.
    let tell = |what: Text, values: &[&dyn std::fmt::Display]| call.screen.tell(what, values);
    let cog = commune.1.cog.as_ref().context("the second node hosts no commune")?;
    tell(SEND, &[&state.1.name, &commune.1.name, cog]);
    let papers = write_papers(&files)?;
    let to = json!({ "cog": cog });
    let first = send(&sender, &to, &papers, "Demande d'acte de naissance", None).await?;
    tell(ACCEPTED, &[]);
    say_steps(&first, call);
    let item = wait_inbox(&town, &first).await?;
    tell(ARRIVED, &[&commune.0.id]);
    tell(TAKEN, &[&commune.1.name]);
    take(&town, &item, &files).await?;
    tell(REPLY, &[&commune.1.name, &state.1.name]);
    let answer = [write_answer(&files)?];
    let to = json!(item.sender.party);
    let reply = send(&town, &to, &answer, "Acte délivré", Some(&item)).await?;
    let back = wait_inbox(&sender, &reply).await?;
    take(&sender, &back, &files).await?;
    tell(TRACE, &[]);
    let done = wait_proved(&sender, &first).await?;
    let replied = wait_proved(&town, &reply).await?;
    if !call.screen.json {
        trace::print(&done, call)?;
    }
    let bundles = [save(&sender, &done, &files).await?, save(&town, &replied, &files).await?];
    let trust: Vec<PathBuf> = network.trust.iter().map(|t| dir.join(t)).collect();
    for bundle in &bundles {
        tell(BUNDLE, &[&bundle.display()]);
        let count = check(bundle, &trust)?;
        tell(HOLDS, &[&count]);
    }
    if call.screen.json {
        return call.screen.object(&json!({
            "messages": [done.message_id, replied.message_id], "bundles": bundles, "trust": trust,
        }));
    }
    let [root, tsa] = trust.as_slice() else {
        return Ok(());
    };
    let [bundle, _] = &bundles;
    tell(BY_HAND, &[&bundle.display(), &root.display(), &tsa.display(), &dir.display()]);
    Ok(())
}

type Actor<'a> = (&'a NodeFacts, &'a MemberFacts);

/// The first member of the first node, and the first commune of another.
fn cast(network: &Description) -> anyhow::Result<(Actor<'_>, Actor<'_>)> {
    let first = network.nodes.first().context("the network has no node")?;
    let state = first.members.first().context("the first node has no member")?;
    let others = network.nodes.iter().skip(1);
    let mut communes = others.flat_map(|n| n.members.iter().map(move |m| (n, m)));
    let commune = communes.find(|(_, m)| m.cog.is_some()).context("no node hosts a commune")?;
    Ok(((first, state), commune))
}

async fn connect((node, member): Actor<'_>) -> anyhow::Result<Client> {
    Client::connect(&node.url, &member.client_id, &member.client_secret).await
}

async fn send(
    client: &Client,
    to: &serde_json::Value,
    files: &[PathBuf],
    subject: &str,
    answers: Option<&InboxItem>,
) -> anyhow::Result<MessageView> {
    let mut documents = Vec::new();
    for file in files {
        documents.push(json!({ "id": upload(client, file, "AEC").await?.id }));
    }
    let mut body = json!({
        "recipients": [to], "process": "AEC", "subject": subject, "documents": documents,
    });
    if let (Some(item), Some(map)) = (answers, body.as_object_mut()) {
        map.insert("in_reply_to".to_owned(), json!(item.message_id));
        map.insert("conversation_id".to_owned(), json!(item.conversation_id));
    }
    let key = uuid::Uuid::now_v7().to_string();
    let request = client.request(Method::POST, "/v1/messages").header("Idempotency-Key", key);
    parsed(request.json(&body).send().await?).await
}

/// Waits until the message is in the inbox, looking without taking.
async fn wait_inbox(client: &Client, message: &MessageView) -> anyhow::Result<InboxItem> {
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut after = "s0".to_owned();
    while tokio::time::Instant::now() < end {
        let path = format!("/v1/inbox?wait=1&limit=200&after={after}");
        let page: Page<InboxItem> = client.get(&path).await?;
        let found = page.items.into_iter().find(|i| i.message_id == message.message_id);
        if let Some(item) = found {
            return Ok(item);
        }
        after = page.next.unwrap_or_else(|| "s0".to_owned());
    }
    anyhow::bail!("{} did not arrive in time", message.message_id)
}

async fn take(client: &Client, item: &InboxItem, dir: &Path) -> anyhow::Result<Receipt> {
    for document in &item.documents {
        let path = format!("/v1/inbox/{}/documents/{}", item.delivery_id, document.id);
        client.save(&path, &dir.join(format!("received-{}", document.name))).await?;
    }
    client.post(&format!("/v1/inbox/{}/acknowledge", item.delivery_id), &json!({})).await
}

/// Waits until the handover is known and everything is anchored.
async fn wait_proved(client: &Client, message: &MessageView) -> anyhow::Result<MessageView> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let path = format!("/v1/messages/{}", message.message_id);
        let now: MessageView = client.get(&path).await?;
        let proved = now
            .deliveries
            .iter()
            .all(|d| d.state == "handed_over" && d.evidence.iter().all(|s| s.anchored.is_some()));
        if proved {
            return Ok(now);
        }
        anyhow::ensure!(tokio::time::Instant::now() < end, "the proofs are late");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn save(client: &Client, message: &MessageView, dir: &Path) -> anyhow::Result<PathBuf> {
    let file = dir.join(format!("{}.asice", message.message_id));
    client.save(&format!("/v1/messages/{}/proof", message.message_id), &file).await?;
    Ok(file)
}

fn check(bundle: &Path, trust: &[PathBuf]) -> anyhow::Result<usize> {
    let mut anchors = Anchors::none();
    for file in trust {
        anchors.extend(&Anchors::from_pem(&crate::files::read(file)?)?);
    }
    let name = bundle.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files = [(name, crate::files::read(bundle)?)];
    let options = signing::verify::Options::default();
    let report = signing::verify::verify(&files, &anchors, clock::system().now(), &options);
    anyhow::ensure!(report.valid, "{} is not valid: {:?}", bundle.display(), report.broken);
    Ok(report.elements.len())
}

fn say_steps(message: &MessageView, call: &Call) {
    for step in message.deliveries.iter().flat_map(|d| &d.evidence) {
        call.screen.say(trace::step(step, call.screen.lang));
    }
}

/// A real PDF of one page and a real XML.
fn write_papers(dir: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let [pdf, xml] = ["demande-acte.pdf", "demande-acte.xml"].map(|name| dir.join(name));
    std::fs::write(&pdf, one_page("Demande d'acte de naissance"))?;
    std::fs::write(
        &xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<demandeActe>\n  <type>naissance</type>\n  \
         <nom>Exemple</nom>\n  <prenom>Camille</prenom>\n  <date>1990-01-31</date>\n\
         </demandeActe>\n",
    )?;
    Ok([pdf, xml])
}

fn write_answer(dir: &Path) -> anyhow::Result<PathBuf> {
    let file = dir.join("acte-delivre.pdf");
    std::fs::write(&file, one_page("Acte de naissance - copie integrale"))?;
    Ok(file)
}

/// A PDF 1.4 with one line of text; its cross-reference table is computed.
fn one_page(line: &str) -> Vec<u8> {
    let stream = format!("BT /F1 18 Tf 72 760 Td ({line}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = String::from("%PDF-1.4\n");
    let mut offsets = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", i + 1));
    }
    let start = out.len();
    out.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for offset in offsets {
        out.push_str(&format!("{offset:010} 00000 n \n"));
    }
    let size = objects.len() + 1;
    out.push_str(&format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"));
    out.into_bytes()
}
