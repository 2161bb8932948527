//! What an operator sees: figures that Prometheus accepts, ages that move when something is away,
//! rules and panels that ask for what a node really says.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net, SOON, skipped, text_at};
use tests::services::Service;

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops")
}

/// Runs `promtool`; none when it is not installed.
fn promtool(args: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(ops().join("prometheus"));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = piped.spawn() else {
        skipped("promtool", "not installed (Debian package prometheus)");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

async fn scrape(api: &Api) -> String {
    let url = format!("{}/metrics", api.url);
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    answer.text().await.unwrap()
}

fn figure(exposition: &str, name: &str) -> f64 {
    let found = exposition.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// Waits until a figure satisfies a condition.
async fn until(api: &Api, name: &str, what: impl Fn(f64) -> bool) -> f64 {
    let end = Instant::now() + SOON;
    loop {
        let value = figure(&scrape(api).await, name);
        if what(value) {
            return value;
        }
        assert!(Instant::now() < end, "{name} stays {value}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// It grows while nothing is done about it.
async fn grows(api: &Api, name: &str) {
    let first = until(api, name, |v| v > 0.0).await;
    until(api, name, |v| v > first + 0.2).await;
}

/// Names of metrics in an expression of PromQL.
fn names(expression: &str) -> BTreeSet<String> {
    let split = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    split.filter(|w| w.starts_with("pli_")).map(str::to_owned).collect()
}

fn strings_under(json: &Value, key: &str, found: &mut Vec<String>) {
    match json {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| strings_under(v, key, found));
        }
        Value::Array(list) => list.iter().for_each(|v| strings_under(v, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn figures_are_sound_and_rules_and_panels_ask_for_them() {
    let net = Net::up().unwrap();
    let (state, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let sent = state.send_pdf("34172", "figures").await.unwrap();
    town.wait_for(&text_at(&sent, "/message_id")).await.unwrap();
    let text = scrape(&state).await;
    if let Some((sound, said)) = promtool(&["check", "metrics"], &text) {
        assert!(sound && said.trim().is_empty(), "{said}");
    }
    assert!(figure(&text, "pli_submissions_total") >= 1.0);
    assert!(text.contains(r#"pli_frames_published_total{lane="message"} 1"#), "{text}");
    assert!(text.contains(r#"pli_dependency_up{dependency="backbone"} 1"#), "{text}");
    assert!(!text.contains(&state.siret), "a member stands in a label");
    let there: BTreeSet<&str> = text.lines().filter_map(|l| l.split(['{', ' ']).next()).collect();
    let rules = std::fs::read_to_string(ops().join("prometheus/alerts.yml")).unwrap();
    let expressions = rules.lines().filter_map(|l| l.trim().strip_prefix("expr: "));
    let mut asked: Vec<String> = expressions.map(str::to_owned).collect();
    assert!(asked.len() >= 15, "{}", asked.len());
    let panels = std::fs::read(ops().join("grafana/pli.json")).unwrap();
    strings_under(&serde_json::from_slice(&panels).unwrap(), "expr", &mut asked);
    for expression in asked {
        for name in names(&expression) {
            assert!(there.contains(name.as_str()), "no node says {name}: {expression}");
        }
    }
}

#[test]
fn rules_are_judged_by_promtool_and_each_has_its_runbook() {
    for args in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        if let Some((sound, said)) = promtool(&args, "") {
            assert!(sound && said.contains("SUCCESS"), "{said}");
        }
    }
    let read = |name: &str| std::fs::read_to_string(ops().join(name)).unwrap();
    let (rules, tests) = (read("prometheus/alerts.yml"), read("prometheus/alerts.test.yml"));
    let after = |line: &str, key: &str| {
        line.trim().trim_start_matches("- ").strip_prefix(key).map(str::to_owned)
    };
    let alerts: Vec<String> = rules.lines().filter_map(|l| after(l, "alert: ")).collect();
    let urls: Vec<String> = rules.lines().filter_map(|l| after(l, "runbook_url: ")).collect();
    assert_eq!(alerts.len(), urls.len());
    for (alert, url) in alerts.iter().zip(&urls) {
        let expected = format!("'{{{{ $externalLabels.pli_docs }}}}/ops/runbooks/{alert}.md'");
        assert_eq!(*url, expected);
        let runbook = read(&format!("runbooks/{alert}.md"));
        assert!(runbook.contains("## Français") && runbook.contains("## English"), "{alert}");
        let fires = format!("alertname: {alert}");
        assert!(tests.lines().filter(|l| l.trim() == fires).count() >= 2, "{alert} has no test");
        let verbs = runbook.lines().filter(|l| l.starts_with("    "));
        for verb in verbs.flat_map(|l| l.split("&&")).filter(|v| v.trim().starts_with("pli ")) {
            let said = verb.split_whitespace().skip(1);
            let words: Vec<&str> =
                said.filter(|w| w.chars().all(|c| c.is_ascii_lowercase())).collect();
            let help = Command::new(tests::net::pli().unwrap()).args(words).arg("--help").output();
            assert!(help.unwrap().status.success(), "{alert}: {verb}");
        }
    }
}

#[tokio::test]
async fn ages_grow_while_something_is_away_and_fall_when_it_is_back() {
    let net = Net::up().unwrap();
    let state = net.state().await.unwrap();
    net.kill("tsa").unwrap();
    net.kill("cd-34").unwrap();
    let sent = state.send_pdf("34172", "ages").await.unwrap();
    grows(&state, "pli_oldest_unanchored_seconds").await;
    grows(&state, "pli_oldest_unacknowledged_seconds").await;
    assert_eq!(figure(&scrape(&state).await, "pli_oldest_uncollected_seconds"), 0.0);
    net.start(&[]).unwrap();
    let town = net.town().await.unwrap();
    let item = town.wait_for(&text_at(&sent, "/message_id")).await.unwrap();
    until(&state, "pli_oldest_unacknowledged_seconds", |v| v == 0.0).await;
    until(&state, "pli_oldest_unanchored_seconds", |v| v < 2.0).await;
    grows(&town, "pli_oldest_uncollected_seconds").await;
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    let (status, said) =
        town.answer(town.request(Method::POST, &path).json(&json!({}))).await.unwrap();
    assert!(status.is_success(), "{status} {said}");
    until(&town, "pli_oldest_uncollected_seconds", |v| v == 0.0).await;
    until(&state, "pli_oldest_uncollected_seconds", |v| v == 0.0).await;
    let shown = net.operate("etat", &["node", "status"]).unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.lines().all(|l| l.chars().count() <= 80), "{shown}");
    assert!(shown.contains("oldest unsent"), "{shown}");
}

#[tokio::test]
async fn unsent_grows_while_the_broker_is_away_and_readiness_says_since_when() {
    let rabbit = match Service::start("rabbitmq") {
        Ok(rabbit) => rabbit,
        Err(why) => return skipped("unsent while the broker is away", &why.to_string()),
    };
    let net = Net::up_with(&["--backbone", &rabbit.url]).unwrap();
    let state = net.state().await.unwrap();
    rabbit.kill().unwrap();
    let sent = state.send_pdf("34172", "unsent").await.unwrap();
    grows(&state, "pli_oldest_unsent_seconds").await;
    grows(&state, r#"pli_peer_oldest_unsent_seconds{peer="cd-34"}"#).await;
    until(&state, r#"pli_dependency_up{dependency="backbone"}"#, |v| v == 0.0).await;
    let ready: Value =
        reqwest::get(format!("{}/health/ready", state.url)).await.unwrap().json().await.unwrap();
    let list = ready["dependencies"].as_array().unwrap();
    let backbone = list.iter().find(|d| d["name"] == "backbone").unwrap();
    assert_eq!(backbone["ready"], false);
    assert!(text_at(backbone, "/reason").contains(", since 20"), "{backbone}");
    rabbit.restart().unwrap();
    net.town().await.unwrap().wait_for(&text_at(&sent, "/message_id")).await.unwrap();
    until(&state, "pli_oldest_unsent_seconds", |v| v == 0.0).await;
}

/// What each of the four ways of looking says while the database is away, and that all of them are
/// content when it is back.
#[tokio::test]
async fn the_database_is_away_and_everybody_who_looks_is_told_since_when() {
    let postgres = match Service::start("postgres") {
        Ok(postgres) => postgres,
        Err(why) => return skipped("looking while the database is away", &why.to_string()),
    };
    let net = Net::up_with(&["--store", &postgres.url]).unwrap();
    let state = net.state().await.unwrap();
    until(&state, "pli_store_up", |v| v == 1.0).await;
    postgres.kill().unwrap();
    let readiness = async || {
        let answer = reqwest::get(format!("{}/health/ready", state.url)).await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, ready) = readiness().await;
    assert_eq!((status, &ready["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
    let list = ready["dependencies"].as_array().unwrap();
    let store = list.iter().find(|d| d["name"] == "store").unwrap();
    assert_eq!(store["ready"], false);
    let reason = text_at(store, "/reason");
    assert!(reason.contains(", since 20"), "{reason}");
    let others = list.iter().filter(|d| d["name"] != "store");
    assert!(others.clone().count() >= 4 && others.clone().all(|d| d["ready"] == true), "{ready}");

    until(&state, "pli_store_up", |v| v == 0.0).await;
    let text = scrape(&state).await;
    assert_eq!(figure(&text, r#"pli_dependency_up{dependency="store"}"#), 0.0);
    let since = figure(&text, r#"pli_dependency_changed_timestamp_seconds{dependency="store"}"#);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((0.0..60.0).contains(&(now.as_secs_f64() - since)), "{since}");

    let said = net.operate("etat", &["node", "status"]).unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(!said.status.success(), "{text}");
    let line = text.lines().find(|l| l.starts_with("--  store")).unwrap();
    assert!(line.contains(", since 20"), "{text}");
    let ages = text.lines().filter(|l| l.starts_with("oldest "));
    assert!(ages.clone().count() == 4 && ages.clone().all(|l| l.contains("not known")), "{text}");
    let said = net.operate("etat", &["node", "status", "--json"]).unwrap();
    let json: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(json["oldest_unsent_seconds"].is_null(), "{json}");

    let said = net.operate("etat", &["node", "doctor"]).unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(!said.status.success(), "{text}");
    assert!(text.lines().any(|l| l.starts_with("!!  store")), "{text}");
    assert!(text.contains("is the database server running"), "{text}");
    assert_eq!(text.lines().filter(|l| l.starts_with("!!")).count(), 1, "{text}");

    postgres.restart().unwrap();
    until(&state, "pli_store_up", |v| v == 1.0).await;
    let end = Instant::now() + SOON;
    while readiness().await.0 != StatusCode::OK {
        assert!(Instant::now() < end, "{:?}", readiness().await);
    }
}
