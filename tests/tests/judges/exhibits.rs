//! Exhibits: proof bundles of a real network, made once for all tests that have them judged.
//!
//! - `delivered`: taken over by a commune of another node, all evidence anchored;
//! - `refused`: the recipient refused it, with a reason;
//! - `reply`: the commune's answer in the same conversation, as the commune proves it;
//! - `young`: taken in the second of its submission, anchored or not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use signing::trust::Anchors;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use tests::judges::{self, Recorded};
use tests::net::{Api, Net, state, text_at};

/// One bundle and the evidence in it.
#[derive(Debug)]
pub(crate) struct Exhibit {
    /// What happened to the message.
    pub(crate) name: &'static str,
    /// The bundle.
    pub(crate) bundle: Vec<u8>,
    /// Its evidence in the XML of ETSI, as the node gives it.
    pub(crate) xml: Vec<Vec<u8>>,
}

/// All bundles, and whom to trust.
#[derive(Debug)]
pub(crate) struct Exhibits {
    /// Anchor of seals, PEM.
    pub(crate) root: Vec<u8>,
    /// Anchor of time-stamps, PEM.
    pub(crate) tsa: Vec<u8>,
    /// The bundles.
    pub(crate) all: Vec<Exhibit>,
}

static MADE: OnceCell<Exhibits> = OnceCell::const_new();

/// The exhibits of this test run.
///
/// # Errors
/// The network does not do what it should.
pub(crate) async fn exhibits() -> Result<&'static Exhibits> {
    MADE.get_or_try_init(make).await
}

impl Exhibits {
    /// A bundle by name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn of(&self, name: &str) -> Result<&Exhibit> {
        self.all.iter().find(|e| e.name == name).context("no such exhibit")
    }

    /// The anchors of `pli verify`.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn anchors(&self) -> Result<Anchors> {
        let mut anchors = Anchors::none();
        anchors.extend(&Anchors::from_pem(&self.root)?);
        anchors.extend(&Anchors::from_pem(&self.tsa)?);
        Ok(anchors)
    }

    /// Everything as files, bundles also unpacked.
    ///
    /// # Errors
    /// They cannot be written, or `unzip` finds fault with a bundle.
    pub(crate) fn room(&self) -> Result<Room> {
        let home = tempfile::tempdir()?;
        let put = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
            let file = home.path().join(name);
            std::fs::write(&file, bytes)?;
            Ok(file)
        };
        let (root, tsa) = (put("root.pem", &self.root)?, put("tsa.pem", &self.tsa)?);
        let (mut bundles, mut xml) = (Vec::new(), Vec::new());
        for exhibit in &self.all {
            let bundle = put(&format!("{}.asice", exhibit.name), &exhibit.bundle)?;
            judges::unzip(&bundle, &bundle.with_extension("d"))?;
            bundles.push(bundle);
            for (n, evidence) in exhibit.xml.iter().enumerate() {
                xml.push(put(&format!("{}-{n}.xml", exhibit.name), evidence)?);
            }
        }
        Ok(Room { home, root, tsa, bundles, xml })
    }
}

/// The exhibits on the table of a judge.
#[derive(Debug)]
pub(crate) struct Room {
    home: TempDir,
    /// Anchor of seals.
    pub(crate) root: PathBuf,
    /// Anchor of time-stamps.
    pub(crate) tsa: PathBuf,
    /// `delivered.asice` and so on; unpacked beside it as `delivered.d`.
    pub(crate) bundles: Vec<PathBuf>,
    /// Evidence in XML.
    pub(crate) xml: Vec<PathBuf>,
}

impl Room {
    /// Where a judge may write.
    pub(crate) fn dir(&self) -> &Path {
        self.home.path()
    }

    /// Unpacked files of all bundles with this ending.
    ///
    /// # Errors
    /// They cannot be listed.
    pub(crate) fn unpacked(&self, ending: &str) -> Result<Vec<PathBuf>> {
        let mut out = Vec::new();
        for bundle in &self.bundles {
            out.extend(judges::files(&bundle.with_extension("d"))?);
        }
        out.retain(|file| file.to_string_lossy().ends_with(ending));
        Ok(out)
    }

    /// All evidence records, as their manifests tie them to objects.
    ///
    /// # Errors
    /// A manifest names other than one record and one object.
    pub(crate) fn records(&self) -> Result<Vec<Recorded>> {
        let mut out = Vec::new();
        for bundle in &self.bundles {
            let base = bundle.with_extension("d");
            for file in judges::files(&base.join("META-INF"))? {
                if !file.to_string_lossy().contains("ASiCEvidenceRecordManifest") {
                    continue;
                }
                let xml = std::fs::read_to_string(&file)?;
                let names: Vec<&str> =
                    xml.split(" URI=\"").skip(1).filter_map(|x| x.split('"').next()).collect();
                let [record, object] = names.as_slice() else {
                    anyhow::bail!("{}: {names:?}", file.display());
                };
                out.push(Recorded { record: base.join(record), object: base.join(object) });
            }
        }
        Ok(out)
    }
}

async fn make() -> Result<Exhibits> {
    let net = Net::up()?;
    let (sender, town) = (net.state().await?, net.town().await?);
    let mut all = Vec::new();
    let sent = sender.send_pdf("34172", "young").await?;
    let path = format!("/v1/messages/{}/proof", text_at(&sent, "/message_id"));
    all.push(Exhibit { name: "young", bundle: sender.bytes(&path).await?, xml: vec![] });
    let sent = sender.send_pdf("34172", "delivered").await?;
    let item = take(&town, &sent).await?;
    all.push(exhibit("delivered", &sender, &sent, "handed_over").await?);
    let answer = town.pdf("acte").await?;
    let reply = json!({
        "recipients": [{ "scheme": "iso6523:0009", "id": sender.siret }], "process": "AEC",
        "in_reply_to": sent["message_id"], "conversation_id": item["conversation_id"],
        "documents": [{ "id": answer }],
    });
    let reply = accepted(&town, &reply).await?;
    take(&sender, &reply).await?;
    all.push(exhibit("reply", &town, &reply, "handed_over").await?);
    let document = sender.pdf("to be refused").await?;
    let asked = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC",
        "documents": [{ "id": document }], "requested": { "consignment": "consent" },
    });
    let asked = accepted(&sender, &asked).await?;
    let item = town.wait_for(&text_at(&asked, "/message_id")).await?;
    let path = format!("/v1/inbox/{}/refuse", text_at(&item, "/delivery_id"));
    let (status, said) = town.post(&path, &json!({ "reason": "pas de notre ressort" })).await?;
    ensure!(status.is_success(), "{status} {said}");
    all.push(exhibit("refused", &sender, &asked, "refused").await?);
    let dir = net.dir().join("trust");
    let [root, tsa] = ["root.pem", "tsa.pem"].map(|name| std::fs::read(dir.join(name)));
    Ok(Exhibits { root: root?, tsa: tsa?, all })
}

async fn accepted(api: &Api, message: &Value) -> Result<Value> {
    let (status, sent) = api.send(message).await?;
    ensure!(status.is_success(), "{status} {sent}");
    Ok(sent)
}

async fn take(api: &Api, sent: &Value) -> Result<Value> {
    let item = api.wait_for(&text_at(sent, "/message_id")).await?;
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    let (status, said) = api.post(&path, &json!({})).await?;
    ensure!(status.is_success(), "{status} {said}");
    Ok(item)
}

/// The bundle of a message once all its evidence is anchored.
async fn exhibit(name: &'static str, api: &Api, sent: &Value, end: &str) -> Result<Exhibit> {
    let id = text_at(sent, "/message_id");
    let steps = |m: &Value| {
        let steps = m.pointer("/deliveries/0/evidence").and_then(Value::as_array);
        steps.cloned().unwrap_or_default()
    };
    let proved = |m: &Value| {
        let steps = steps(m);
        state(m) == end && steps.iter().all(|s| !text_at(s, "/anchored").is_empty())
    };
    let message = api.until(&id, proved).await?;
    let mut xml = Vec::new();
    for step in steps(&message) {
        let path = format!("/v1/evidence/{}", text_at(&step, "/evidence_id"));
        let request = api.request(Method::GET, &path).header("Accept", "application/xml");
        xml.push(request.send().await?.error_for_status()?.bytes().await?.to_vec());
    }
    let bundle = api.bytes(&format!("/v1/messages/{id}/proof")).await?;
    Ok(Exhibit { name, bundle, xml })
}
