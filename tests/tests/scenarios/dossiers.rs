//! Real documents: the dossiers of démarches, and files of several megabytes over every road, with
//! every archive.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::net::{Api, Net, skipped, state, text_at};

/// Name, media type, content.
type File = (String, &'static str, Vec<u8>);

/// Sends files in one message to Montpellier, and compares what arrives, octet by octet.
async fn there_and_the_same(net: &Net, files: &[File]) -> Value {
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let mut documents = Vec::new();
    for (name, media, content) in files {
        let (status, taken) = sender.upload(name, media, content).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{name}: {taken}");
        documents.push(json!({ "id": taken["id"] }));
    }
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": documents,
    });
    let (status, sent) = sender.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{sent}");
    let id = text_at(&sent, "/message_id");
    let item = town.wait_for(&id).await.unwrap();
    let arrived = item["documents"].as_array().unwrap();
    assert_eq!(arrived.len(), files.len());
    for (document, file) in arrived.iter().zip(files) {
        same(&town, &text_at(&item, "/delivery_id"), document, file).await;
    }
    sender.until(&id, |m| state(m) == "consigned").await.unwrap()
}

async fn same(town: &Api, delivery: &str, document: &Value, file: &File) {
    let id = text_at(document, "/id");
    let got = town.bytes(&format!("/v1/inbox/{delivery}/documents/{id}")).await.unwrap();
    assert_eq!(document["name"], file.0);
    assert!(got == file.2, "{} is not the same", file.0);
}

/// A PDF, as far as its first octets tell, of noise that does not compress.
fn large(mebibytes: usize) -> File {
    let mut noise = 0x9e37_79b9_u32;
    let mut content = b"%PDF-1.7\n".to_vec();
    content.extend((0..mebibytes << 20).map(|_| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise as u8
    }));
    (format!("plan-{mebibytes}.pdf"), "application/pdf", content)
}

/// One road and one archive: sent, taken over, proven.
async fn over(what: &str, backbone: Option<&str>, store: Option<&str>) {
    let variable = |name: &str| std::env::var(name).map_err(|_| skipped(what, name)).ok();
    let mut options = Vec::new();
    for (option, name) in [("--backbone", backbone), ("--store", store)] {
        let Some(name) = name else { continue };
        let Some(url) = variable(name) else { return };
        options.extend([option.to_owned(), url]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let net = Net::up_with(&options).unwrap();
    // Inside the frame, beside it in a few parts, and in many.
    let small: File = ("acte.pdf".into(), "application/pdf", b"%PDF-1.4\nx\n%%EOF\n".to_vec());
    let sent = there_and_the_same(&net, &[small, large(1), large(9)]).await;
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let (id, delivery) =
        (text_at(&sent, "/message_id"), text_at(&sent, "/deliveries/0/delivery_id"));
    let path = format!("/v1/inbox/{delivery}/acknowledge");
    let (status, answer) = town.post(&path, &json!({})).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{answer}");
    let anchored = |m: &Value| {
        let steps = m["deliveries"][0]["evidence"].as_array().unwrap();
        steps.len() == 4 && steps.iter().all(|s| s["anchored"].is_string())
    };
    sender.until(&id, anchored).await.unwrap();
    let bundle = net.dir().join("preuve.asice");
    sender.proof(&id, &bundle).await.unwrap();
    let anchors = ["root.pem", "tsa.pem"].map(|n| net.dir().join("trust").join(n));
    let text = |path: &Path| path.display().to_string();
    let [root, tsa] = anchors.each_ref().map(|path| text(path));
    let verified = net.run(&["verify", &text(&bundle), "--trust", &root, "--trust", &tsa]).unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    for node in ["etat", "cd-34"] {
        net.fsck(node).unwrap();
    }
}

const PG: Option<&str> = Some("PLI_TEST_PG");
const AMQP: Option<&str> = Some("PLI_TEST_AMQP");
const KAFKA: Option<&str> = Some("PLI_TEST_KAFKA");

#[tokio::test]
async fn megabytes_over_the_embedded_road_with_sqlite() {
    over("embedded, SQLite", None, None).await;
}

#[tokio::test]
async fn megabytes_over_the_embedded_road_with_postgresql() {
    over("embedded, PostgreSQL", None, PG).await;
}

#[tokio::test]
async fn megabytes_over_rabbitmq_with_sqlite() {
    over("RabbitMQ, SQLite", AMQP, None).await;
}

#[tokio::test]
async fn megabytes_over_rabbitmq_with_postgresql() {
    over("RabbitMQ, PostgreSQL", AMQP, PG).await;
}

#[tokio::test]
async fn megabytes_over_kafka_with_sqlite() {
    over("Kafka, SQLite", KAFKA, None).await;
}

#[tokio::test]
async fn megabytes_over_kafka_with_postgresql() {
    over("Kafka, PostgreSQL", KAFKA, PG).await;
}

fn dossier(folder: &Path) -> Vec<File> {
    let media = |path: &Path| match path.extension().and_then(|e| e.to_str()) {
        Some("pdf") => Some("application/pdf"),
        Some("xml") => Some("application/xml"),
        Some("json") => Some("application/json"),
        Some("png") => Some("image/png"),
        Some("jpg" | "jpeg") => Some("image/jpeg"),
        _ => None,
    };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let file = |path: &PathBuf| Some((name(path), media(path)?, std::fs::read(path).unwrap()));
    paths.iter().filter_map(file).collect()
}

#[tokio::test]
async fn the_dossiers_of_real_demarches_arrive_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/hubee/dossiers");
    let Ok(dossiers) = std::fs::read_dir(&folder) else {
        return skipped("dossiers of démarches", "there is no ../shared/data/hubee");
    };
    let net = Net::up().unwrap();
    let mut files = 0;
    for entry in dossiers {
        let dossier = dossier(&entry.unwrap().path());
        files += dossier.len();
        if !dossier.is_empty() {
            there_and_the_same(&net, &dossier).await;
        }
    }
    assert!(files > 10, "{files} files");
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}
