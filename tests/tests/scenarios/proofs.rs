//! (e11) Proof: bundles that foreign tools accept, now and ten years later.

use std::path::Path;

use serde_json::{Value, json};
use tests::judges;
use tests::net::{Net, text_at};

async fn a_bundle(net: &Net) -> std::path::PathBuf {
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = state.send_pdf("34172", "proof").await.unwrap();
    let id = text_at(&sent, "/message_id");
    let item = town.wait_for(&id).await.unwrap();
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    town.post(&path, &json!({})).await.unwrap();
    let proved = |m: &Value| {
        let steps = m["deliveries"][0]["evidence"].as_array().unwrap();
        steps.len() == 4 && steps.iter().all(|s| s["anchored"].is_string())
    };
    state.until(&id, proved).await.unwrap();
    let bundle = net.dir().join("proof.asice");
    state.proof(&id, &bundle).await.unwrap();
    bundle
}

fn verify(net: &Net, bundle: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let dir = net.dir();
    let [root, tsa] =
        ["trust/root.pem", "trust/tsa.pem"].map(|t| dir.join(t).display().to_string());
    let bundle = bundle.display().to_string();
    let args = [&["verify", &bundle, "--trust", &root, "--trust", &tsa, "--json"], more].concat();
    let output = net.run(&args).unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn e11_a_bundle_holds_now_and_in_ten_years_and_any_change_is_named() {
    let net = Net::up().unwrap();
    let bundle = a_bundle(&net).await;
    let (code, report) = verify(&net, &bundle, &[]);
    assert_eq!(code, Some(0), "{report:#}");
    let (code, report) = verify(&net, &bundle, &["--at", "2036-11-23T12:00:00Z"]);
    assert_eq!(code, Some(0), "{report:#}");
    // OpenSSL accepts every seal.
    let unpacked = net.dir().join("unpacked");
    judges::unzip(&bundle, &unpacked).unwrap();
    let files = judges::files(&unpacked).unwrap();
    let seals: Vec<_> =
        files.iter().filter(|f| f.extension().is_some_and(|e| e == "p7m")).collect();
    assert_eq!(seals.len(), 5, "four evidences and the dispatch: {seals:?}");
    for seal in seals {
        judges::openssl_cms(seal, &net.root()).unwrap();
    }
    // One byte of every few hundred is changed in turn: never valid, and something is named.
    let whole = std::fs::read(&bundle).unwrap();
    let changed = net.dir().join("changed.asice");
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(&changed, &bytes).unwrap();
        let (code, report) = verify(&net, &changed, &[]);
        assert_eq!(code, Some(4), "byte {at} was changed: {report:#}");
        assert!(report["broken"].is_string(), "byte {at}: {report:#}");
    }
}

#[tokio::test]
async fn the_demonstration_tells_its_story_and_gives_its_bundles() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("demo");
    let net = Net::up().unwrap();
    let text = dir.display().to_string();
    let output = net.run(&["localnet", "demo", "--dir", &text, "--json"]).unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["messages"].as_array().unwrap().len(), 2);
    assert_eq!(said["bundles"].as_array().unwrap().len(), 2);
    assert_eq!(said["trust"].as_array().unwrap().len(), 2);
    let down = net.run(&["localnet", "down", "--dir", &text, "--purge"]).unwrap();
    assert!(down.status.success());
    assert!(!dir.exists());
}

#[tokio::test]
async fn i3_the_tutorial_of_the_readme_works_in_at_most_ten_calls() {
    if std::process::Command::new("jq").arg("--version").output().is_err() {
        return tests::net::skipped("the tutorial", "jq is not installed");
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = readme.split_once("<!-- first-exchange -->\n```bash\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    assert!(script.matches("curl ").count() <= 10);
    let net = Net::up().unwrap();
    let pdf = net.dir().join("mon acte.pdf");
    std::fs::write(&pdf, "%PDF-1.4\ntutorial\n%%EOF\n").unwrap();
    let output = std::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env("NET", net.dir())
        .env("PDF", &pdf)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("handed_over"), "{said}");
    assert_eq!(std::fs::read(net.dir().join("received.pdf")).unwrap(), std::fs::read(pdf).unwrap());
    assert!(net.dir().join("proof.asice").is_file());
}

#[tokio::test]
async fn i2_the_description_of_the_interface_is_served_and_names_every_route() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    let openapi = state.get("/openapi.json").await.unwrap();
    assert_eq!(openapi["openapi"], "3.1.0");
    let paths = openapi["paths"].as_object().unwrap();
    for path in ["/v1/messages", "/v1/inbox", "/v1/events", "/oauth2/token", "/v1/processes"] {
        assert!(paths.contains_key(path), "{path}");
    }
}
