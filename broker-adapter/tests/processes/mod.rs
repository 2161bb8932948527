//! Processes that are killed with `kill -9` while they publish or read.
//!
//! The child is this test binary again, running [`child`] alone; it does what `PLI_TEST_CHILD`
//! says: `read|publish URL NODE`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_adapter::{Backbone, Destination, Frame, Lane, Options, Outcome, Subscription, open};
use schemas::ids::NodeId;
use tokio::time::timeout;

const ROLE: &str = "PLI_TEST_CHILD";

/// Not a check of its own: the body of the children.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut words = role.split(' ');
    let mut word = || words.next().unwrap().to_owned();
    let (act, url, node) = (word(), word(), word().parse::<NodeId>().unwrap());
    let backbone = open(&url, options()).await.unwrap();
    let destination = Destination { node: node.clone(), lane: Lane::Message };
    let mut out = std::io::stdout();
    if act == "read" {
        let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
        loop {
            for received in reader.next(100).await.unwrap() {
                writeln!(out, "#{}", received.frame.id).unwrap();
            }
        }
    }
    loop {
        let batch: Vec<_> = (0..5).map(|_| (destination.clone(), frame())).collect();
        let ids: Vec<String> = batch.iter().map(|(_, frame)| frame.id.clone()).collect();
        for (id, outcome) in ids.iter().zip(backbone.publish(batch).await) {
            assert_eq!(outcome, Outcome::Confirmed);
            writeln!(out, "#{id}").unwrap();
        }
    }
}

/// A process reads twenty frames, acknowledges none, and is killed: another gets them. `within` is
/// how soon.
pub(crate) async fn a_killed_reader_loses_nothing(url: &str, within: Duration) {
    let (backbone, node) = ready(url).await;
    let lane = Destination { node: node.clone(), lane: Lane::Message };
    let batch = (0..20).map(|_| (lane.clone(), frame())).collect();
    assert_eq!(backbone.publish(batch).await, vec![Outcome::Confirmed; 20]);
    let mut reading = spawn("read", url, &node);
    let first = lines(&mut reading, 20);
    reading.kill().unwrap();
    reading.wait().unwrap();
    let start = Instant::now();
    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let mut again = HashSet::new();
    while again.len() < 20 {
        take(&mut reader, &mut again).await;
    }
    assert_eq!(again, first);
    assert!(start.elapsed() < within, "they came after {:?}", start.elapsed());
}

/// Two processes publish, and are killed in the middle of it: what they took for confirmed is there.
pub(crate) async fn what_a_killed_publisher_saw_confirmed_is_there(url: &str) {
    let (backbone, node) = ready(url).await;
    let mut publishers = [spawn("publish", url, &node), spawn("publish", url, &node)];
    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let mut seen = HashSet::new();
    while seen.len() < 300 {
        take(&mut reader, &mut seen).await;
    }
    let mut confirmed = HashSet::new();
    for publisher in &mut publishers {
        publisher.kill().unwrap();
        confirmed.extend(lines(publisher, usize::MAX));
        publisher.wait().unwrap();
    }
    assert!(confirmed.len() > 200, "only {} confirmed", confirmed.len());
    while !confirmed.is_subset(&seen) {
        take(&mut reader, &mut seen).await;
    }
}

async fn ready(url: &str) -> (Arc<dyn Backbone>, NodeId) {
    let node: NodeId = format!("p-{}", uuid::Uuid::new_v4().simple()).parse().unwrap();
    let backbone = open(url, options()).await.unwrap();
    backbone.provision(&node).await.unwrap();
    (backbone, node)
}

/// The same instance for parent and child: the parent takes the child's place in a Kafka group.
fn options() -> Options {
    Options { instance: Some("replica-1".to_owned()), ..Options::default() }
}

fn frame() -> Frame {
    Frame {
        id: uuid::Uuid::new_v4().to_string(),
        attributes: Vec::new(),
        key: "k".to_owned(),
        body: vec![1; 500].into(),
    }
}

async fn take(reader: &mut Box<dyn Subscription>, seen: &mut HashSet<String>) {
    let batch = timeout(Duration::from_secs(20), reader.next(100)).await.unwrap().unwrap();
    seen.extend(batch.iter().map(|received| received.frame.id.clone()));
    reader.ack(batch.iter().map(|received| received.receipt).collect()).await.unwrap();
}

fn spawn(act: &str, url: &str, node: &NodeId) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture"])
        .env(ROLE, format!("{act} {url} {node}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// At most `count` ids that the child printed; a line that the kill cut off is none.
fn lines(child: &mut Child, count: usize) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut out = BufReader::new(child.stdout.as_mut().unwrap());
    let mut line = String::new();
    while ids.len() < count && out.by_ref().read_line(&mut line).is_ok_and(|n| n > 0) {
        if let Some((_, id)) = line.strip_suffix('\n').and_then(|text| text.split_once('#')) {
            ids.insert(id.to_owned());
        }
        line.clear();
    }
    ids
}
