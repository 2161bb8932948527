//! The suite of the archive on SQLite and PostgreSQL.
//!
//! PostgreSQL comes from `PLI_TEST_PG` (a URL whose user may create databases), or is started
//! here.

mod server;

use std::future::Future;
use std::pin::Pin;

use exchange_store::conformance::{Ground, run};
use server::Server;

#[derive(Debug)]
struct Files(tempfile::TempDir);

impl Ground for Files {
    fn fresh<'a>(
        &'a self,
        check: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        let path = self.0.path().join(check).join("node.db");
        Box::pin(async move { Ok(format!("sqlite://{}", path.display())) })
    }
}

async fn play(ground: &dyn Ground) -> Result<(), String> {
    let passed = run(ground).await?;
    for one in &passed {
        eprintln!("{:<35} {:>7.2} s", one.check, one.took.as_secs_f64());
    }
    assert!(passed.len() > 20, "only {} checks", passed.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_passes() {
    play(&Files(tempfile::tempdir().unwrap())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_passes() {
    let Some(server) = Server::find() else { return };
    play(&server).await.unwrap();
}
