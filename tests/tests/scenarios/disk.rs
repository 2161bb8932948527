//! (e7) The disk is full: what is new is refused, what was accepted is served, and nothing has to
//! be done when there is room again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net, skipped, state, text_at};

const MIB: u64 = 1 << 20;

/// A file system of its own, in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: u64, test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
                skipped(test, &format!("no file system can be mounted: {why}"));
                None
            }
            Err(error) => {
                skipped(test, &format!("mount: {error}"));
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes ballast until no more than `free` octets are left.
    fn fill(&self, free: u64) {
        use std::io::Write as _;
        let mut ballast = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("ballast"))
            .unwrap();
        for chunk in [MIB, 4096] {
            let zeros = vec![0; usize::try_from(chunk).unwrap()];
            while self.free() >= free + chunk && ballast.write_all(&zeros).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }

    fn free(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(self.path()).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.split_whitespace().map(|n| n.parse::<u64>().unwrap()).product()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

async fn upload(api: &Api, text: &str) -> (StatusCode, Value, bool) {
    let request = api
        .request(Method::POST, "/v1/documents")
        .header("Content-Type", "application/pdf")
        .header("Content-Disposition", "attachment; filename=acte.pdf")
        .body(format!("%PDF-1.4\n{text}\n%%EOF\n"));
    let answer = request.send().await.unwrap();
    let again = answer.headers().contains_key("retry-after");
    (answer.status(), answer.json().await.unwrap(), again)
}

/// Everything that reading takes: inbox, document, evidence, proof.
async fn served(sender: &Api, town: &Api, id: &str, dir: &Path) {
    let item = town.wait_for(id).await.unwrap();
    let delivery = text_at(&item, "/delivery_id");
    let document = text_at(&item, "/documents/0/id");
    let pdf = town.bytes(&format!("/v1/inbox/{delivery}/documents/{document}")).await.unwrap();
    assert!(pdf.starts_with(b"%PDF"));
    town.get("/v1/inbox?wait=0").await.unwrap();
    let evidence = sender.get(&format!("/v1/messages/{id}/evidence")).await.unwrap();
    assert!(!evidence.as_array().or_else(|| evidence["items"].as_array()).unwrap().is_empty());
    sender.proof(id, &dir.join("proof.asice")).await.unwrap();
}

fn dependency(ready: &Value, name: &str) -> Value {
    let all = ready["dependencies"].as_array().unwrap();
    all.iter().find(|d| d["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn e7_disk_full_refuses_new_serves_old() {
    let Some(disk) = Disk::of(384 * MIB, "e7") else { return };
    let floor = (96 * MIB).to_string();
    let env = [("PLI__LIMITS__MIN_FREE_BYTES", floor.as_str())];
    let net = Net::up_at(disk.path(), &env, &[]).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let before = text_at(&sender.send_pdf("34172", "before").await.unwrap(), "/message_id");
    sender.until(&before, |m| state(m) == "consigned").await.unwrap();
    let waiting = sender.pdf("uploaded before").await.unwrap();

    disk.fill(72 * MIB);
    let (status, problem, again) = upload(&sender, "new").await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("storage-full")), "{problem}");
    assert!(again, "no Retry-After");
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": waiting }],
    });
    let (status, problem) = sender.send(&body).await.unwrap();
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("storage-full")), "{problem}");
    // What was accepted is served, and the node says what is wrong and since when.
    served(&sender, &town, &before, elsewhere.path()).await;
    let ready = sender.get("/health/ready").await.unwrap();
    let room = dependency(&ready, "room");
    assert_eq!(room["ready"], false);
    assert!(text_at(&room, "/reason").contains("since 20"), "{room}");
    let shown = net.operate("etat", &["node", "status"]).unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("storage-full"));
    let doctor = net.operate("etat", &["node", "doctor"]).unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("!!  room"), "{doctor}");
    let metrics = String::from_utf8(sender.bytes("/metrics").await.unwrap()).unwrap();
    assert!(metrics.contains("pli_free_bytes"));

    disk.empty();
    let (status, message) = sender.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{message}");
    let after = text_at(&message, "/message_id");
    sender.until(&after, |m| state(m) == "consigned").await.unwrap();
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}

#[tokio::test]
async fn e7_without_a_floor_nothing_accepted_is_lost_when_the_disk_really_ends() {
    let Some(disk) = Disk::of(192 * MIB, "e7 without a floor") else { return };
    let net = Net::up_at(disk.path(), &[("PLI__LIMITS__MIN_FREE_BYTES", "0")], &[]).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let before = text_at(&sender.send_pdf("34172", "before").await.unwrap(), "/message_id");
    sender.until(&before, |m| state(m) == "consigned").await.unwrap();

    disk.fill(0);
    let mut told = vec![before.clone()];
    let mut refused = 0;
    for n in 0..20 {
        let (status, answer, again) =
            upload(&sender, &format!("{n} {}", "x".repeat(200_000))).await;
        if status != StatusCode::CREATED {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            assert!(
                again
                    && ["storage-full", "store-unavailable"]
                        .contains(&answer["code"].as_str().unwrap()),
                "{answer}"
            );
            refused += 1;
            continue;
        }
        let body = json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC",
            "documents": [{ "id": answer["id"] }],
        });
        match sender.send(&body).await.unwrap() {
            (StatusCode::CREATED, message) => told.push(text_at(&message, "/message_id")),
            (status, problem) => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was not full");
    served(&sender, &town, &before, elsewhere.path()).await;

    disk.empty();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let (status, answer, _) = upload(&sender, "afterwards").await;
        if status == StatusCode::CREATED {
            break;
        }
        assert!(Instant::now() < end, "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    told.push(text_at(&sender.send_pdf("34172", "after").await.unwrap(), "/message_id"));
    for id in &told {
        sender.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    eprintln!("disk full: {} accepted, {refused} refused, all accepted arrived", told.len());
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}
