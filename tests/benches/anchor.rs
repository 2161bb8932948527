//! A million evidences that wait for their anchor, in a real database, stamped by a real timestamp
//! authority with the code of the node. The floor: hashing as many leaves.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use exchange_node::anchor::anchor_waiting;
use exchange_node::clock::Clock as _;
use signing::digest::sha256;
use signing::tsp::TsaClient;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::net::{Net, text_at};

use crate::machine;
use crate::report::Run;
use crate::services::Services;

/// As a node does by default: objects under one token.
const ROUND: usize = 100_000;

/// Rows that a backlog of `$1` evidences leaves.
const SEED: &str = "
    insert into evidence (id, message, deliveries, event, reason, node, at, sealed_at, sha256,
                          stored_at, p7m)
    select gen_random_uuid(), gen_random_uuid(), '', 'ContentConsignment', 'RD01', 'cd-34', 0, 0,
           sha256(n::text::bytea), 0, decode(repeat('00', 2000), 'hex')
      from generate_series(1, $1) n;";

/// Anchors `count` evidences.
pub(crate) async fn run(services: &Services, count: usize) -> Result<Vec<Run>> {
    let name = format!("bench_anchor_{}", std::process::id());
    let url = services.create(&name).await?;
    let store = exchange_store::open(&url).await?;
    let mut database = PgConnection::connect(&url).await?;
    sqlx::query(SEED).bind(count as i64).execute(&mut database).await.context("seeding")?;
    database.execute("vacuum analyze").await?;
    let net = Net::up()?;
    let tsa = TsaClient::new(vec![text_at(&net.description()?, "/tsa_url")]);

    machine::forget_peak_memory();
    let (start, mut done) = (Instant::now(), 0);
    while done < count {
        let some =
            anchor_waiting(store.as_ref(), &tsa, exchange_node::clock::system().now(), ROUND)
                .await?;
        ensure!(some > 0, "only {done} of {count} were waiting");
        done += some;
    }
    let took = start.elapsed().as_secs_f64();
    let memory = machine::peak_memory(std::process::id());
    let bytes: (f64,) = sqlx::query_as("select (sum(length(leaves)) / $1)::float8 from anchors")
        .bind(count as i64)
        .fetch_one(&mut database)
        .await?;
    let start = Instant::now();
    let mut sum = 0_u8;
    for n in 0..count as u64 {
        sum ^= sha256(&n.to_be_bytes()).as_bytes().first().copied().unwrap_or(0);
    }
    std::hint::black_box(sum);
    let floor = start.elapsed().as_secs_f64();
    drop(store);
    database.close().await?;
    let run = Run::new(&format!("anchor {count}"), "s", took).over(floor);
    Ok(vec![run.with("memory_mib", memory).with("bytes_per_record", bytes.0)])
}
