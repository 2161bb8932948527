//! (e11) Proof: bundles that foreign tools accept, now and ten years later.

use std::path::Path;
use std::process::Command;

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

/// What `pli verify` says: exit code and report. `through` starts it, such as in a cage.
fn verify_through(
    net: &Net,
    bundle: &Path,
    through: &[&str],
    more: &[&str],
) -> (Option<i32>, Value) {
    let pli = tests::net::pli().unwrap();
    let mut line: Vec<&std::ffi::OsStr> = through.iter().map(std::ffi::OsStr::new).collect();
    line.push(pli.as_os_str());
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).arg("verify").arg(bundle).args(["--json"]).args(more);
    for anchor in ["trust/root.pem", "trust/tsa.pem"] {
        command.arg("--trust").arg(net.dir().join(anchor));
    }
    let output = command.env("PLI_LANG", "en").env("TZ", "UTC").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|e| panic!("{through:?}: {e}: {error}")))
}

fn verify(net: &Net, bundle: &Path, more: &[&str]) -> (Option<i32>, Value) {
    verify_through(net, bundle, &[], more)
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
    // One byte of each file is changed in turn, now and in ten years: that file is named.
    let whole = std::fs::read(&bundle).unwrap();
    let changed = net.dir().join("changed.asice");
    for (n, file) in files.iter().enumerate() {
        let content = std::fs::read(file).unwrap();
        let name = file.strip_prefix(&unpacked).unwrap().display().to_string();
        let start = whole.windows(content.len()).position(|w| w == content).unwrap();
        let mut bytes = whole.clone();
        bytes[start + content.len() * (n + 1) / (files.len() + 2)] ^= 0x20;
        std::fs::write(&changed, &bytes).unwrap();
        let at = if n % 2 == 0 { &[][..] } else { &["--at", "2036-11-23T12:00:00Z"] };
        let (code, report) = verify(&net, &changed, at);
        assert_eq!((code, report["broken"].as_str()), (Some(4), Some(name.as_str())), "{report:#}");
    }
}

/// Whether this command line ends well; why not, when it cannot run here.
fn runs(line: &[&str]) -> bool {
    let output = Command::new(line[0]).args(&line[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Ten years on, on a machine without a network: no interface but the loopback, which is down, and
/// a clock that says 2036 to the process.
#[tokio::test]
async fn e11_the_court_has_no_network_and_its_clock_is_ten_years_on() {
    let cages = [&["unshare", "-n"][..], &["unshare", "-r", "-n"]];
    let Some(cage) = cages.into_iter().find(|cage| runs(&[cage, &["true"][..]].concat())) else {
        return tests::net::skipped("the court without a network", "unshare is not permitted");
    };
    let faked = ["faketime", "2036-11-23 12:00:00"];
    if !runs(&[&faked[..], &["true"]].concat()) {
        return tests::net::skipped("the court in ten years", "faketime is not installed");
    }
    let court = [cage, &faked].concat();
    let see = Command::new(court[0]).args(&court[1..]).args(["cat", "/proc/net/dev"]).output();
    let see = String::from_utf8(see.unwrap().stdout).unwrap();
    let interfaces: Vec<_> = see.lines().skip(2).filter_map(|l| l.split_once(':')).collect();
    assert!(interfaces.iter().all(|(name, _)| name.trim() == "lo"), "{see}");
    let net = Net::up().unwrap();
    let bundle = a_bundle(&net).await;
    let (code, report) = verify_through(&net, &bundle, &court, &[]);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(text_at(&report, "/checked_at").starts_with("2036-11-23T12:0"), "{report:#}");
    // Ten years on, and only then, the seals' certificates have ended: the records carry them.
    let unpacked = net.dir().join("unpacked");
    judges::unzip(&bundle, &unpacked).unwrap();
    let files = judges::files(&unpacked.join("evidence")).unwrap();
    let (code, report) = verify_through(&net, &files[0], &court, &[]);
    assert_eq!((code, &report["verdict"]), (Some(4), &json!("indeterminate")), "{report:#}");
    assert_eq!(verify(&net, &files[0], &[]).0, Some(0));
    let mut bytes = std::fs::read(&bundle).unwrap();
    let seal = std::fs::read(&files[0]).unwrap();
    let start = bytes.windows(seal.len()).position(|w| w == seal).unwrap();
    bytes[start + seal.len() / 2] ^= 0x01;
    std::fs::write(&bundle, bytes).unwrap();
    let (code, report) = verify_through(&net, &bundle, &court, &[]);
    let name = files[0].strip_prefix(&unpacked).unwrap().display().to_string();
    assert_eq!((code, report["broken"].as_str()), (Some(4), Some(name.as_str())), "{report:#}");
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
    if Command::new("jq").arg("--version").output().is_err() {
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
    let output = Command::new("bash")
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
