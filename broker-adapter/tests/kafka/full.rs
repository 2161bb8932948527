//! A Kafka broker whose disk is full.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broker_adapter::{Backbone, Destination, Lane, Options, Outcome, open};
use schemas::ids::NodeId;

use super::frame;
use crate::services::{self, Service};

const MIB: u64 = 1 << 20;
/// Of one frame; a few dozen fill what [`Ballast`] leaves.
const SIZE: usize = 200_000;

/// Takes all room of a disk but so much.
struct Ballast(PathBuf);

impl Ballast {
    fn leaving(free: u64, disk: &Path) -> Self {
        let path = disk.join("ballast");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let taken = file.metadata().unwrap().len();
        file.set_len(taken - free).unwrap();
        Self(path)
    }

    fn thrown_away(self) {
        fs::remove_file(self.0).unwrap();
    }
}

/// A broker whose disk ends in the middle of a batch stops. What it confirmed is there when there is
/// room again; of the rest nobody was told that it is.
///
/// ```text
///   publisher ---> broker ---> [ ballast | lanes | 2 MiB ]
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn kafka_on_a_full_disk() {
    let Some(service) = Service::start_on_a_disk_of("kafka", 96 * MIB) else { return };
    let url = service.run("url", &[]).unwrap();
    let limit = Duration::from_secs(5);
    let options = Options { confirm_timeout: limit, ..Options::default() };
    let backbone = open(&url, options).await.unwrap();
    let node = services::node();
    backbone.provision(&node).await.unwrap();
    let mut told = Told::default();
    told.publish(&*backbone, &node, 20).await;
    assert!(told.all_confirmed(), "there is room: {told:?}");

    let ballast = Ballast::leaving(2 * MIB, service.directory());
    let begin = Instant::now();
    while told.all_confirmed() {
        assert!(told.0.len() < 200, "a disk of 2 MiB took {} frames", told.0.len());
        told.publish(&*backbone, &node, 5).await;
    }
    assert!(begin.elapsed() < 6 * limit, "said after {:?}", begin.elapsed());
    let unsure = |o: &&Outcome| matches!(o, Outcome::Unknown(_));
    let unknown = told.0.values().filter(unsure).count();
    assert_eq!(told.confirmed() + unknown, told.0.len(), "no other outcome: {told:?}");
    assert!(told.confirmed() > 20, "what had room was confirmed");

    ballast.thrown_away();
    service.run("kill", &[]).unwrap();
    service.run("start", &[]).unwrap();
    let last = told.until_confirmed(&*backbone, &node).await;
    let held = held(&*backbone, &node, last).await;
    for (id, outcome) in &told.0 {
        let copies = held.get(id).copied().unwrap_or_default();
        assert!(copies <= 1, "{id} is there {copies} times");
        assert!(copies == 1 || *outcome != Outcome::Confirmed, "{id} was confirmed and is lost");
    }
}

/// What was said of each frame, by its number.
#[derive(Debug, Default)]
struct Told(HashMap<usize, Outcome>);

impl Told {
    async fn publish(&mut self, backbone: &dyn Backbone, node: &NodeId, count: usize) {
        let from = self.0.len();
        let frames = (from..from + count).map(|n| frame(node, n, SIZE)).collect();
        self.0.extend((from..).zip(backbone.publish(frames).await));
    }

    fn confirmed(&self) -> usize {
        self.0.values().filter(|outcome| **outcome == Outcome::Confirmed).count()
    }

    fn all_confirmed(&self) -> bool {
        self.confirmed() == self.0.len()
    }

    /// Publishes one frame after the other until one is confirmed: its number.
    async fn until_confirmed(&mut self, backbone: &dyn Backbone, node: &NodeId) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let last = self.0.len();
            self.publish(backbone, node, 1).await;
            if self.0.get(&last) == Some(&Outcome::Confirmed) {
                return last;
            }
            assert!(Instant::now() < end, "there is room again, and still {:?}", self.0.get(&last));
        }
    }
}

/// How often each frame is there, read until `last` came: all have one key, so it is behind the rest.
async fn held(backbone: &dyn Backbone, node: &NodeId, last: usize) -> HashMap<usize, usize> {
    let lane = Destination { node: node.clone(), lane: Lane::Message };
    let mut reader = backbone.subscribe(&lane.node, lane.lane).await.unwrap();
    let mut held = HashMap::new();
    while !held.contains_key(&last) {
        let next = tokio::time::timeout(Duration::from_secs(30), reader.next(50)).await;
        for received in next.unwrap().unwrap() {
            *held.entry(received.frame.id.parse().unwrap()).or_default() += 1;
        }
    }
    held
}
