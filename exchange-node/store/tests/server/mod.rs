//! A PostgreSQL for tests: `PLI_TEST_PG` (a URL whose user may create databases), or one that is
//! started here.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};

use exchange_store::conformance::Ground;
use exchange_store::create_database;

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    admin: String,
    /// Ends with the value, when it was started here.
    directory: Option<tempfile::TempDir>,
}

impl Ground for Server {
    fn fresh<'a>(
        &'a self,
        check: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        Box::pin(async move {
            let name = format!("store_{}_{check}", std::process::id());
            let name = name.get(..name.len().min(63)).unwrap_or_default();
            create_database(&self.admin, name).await.map_err(|e| e.to_string())
        })
    }
}

impl Server {
    /// None where none is installed; it says so.
    pub(crate) fn find() -> Option<Self> {
        if let Ok(admin) = std::env::var("PLI_TEST_PG") {
            return Some(Self { admin, directory: None });
        }
        let directory = tempfile::tempdir().ok()?;
        match service("start", directory.path()) {
            Ok(admin) => Some(Self { admin, directory: Some(directory) }),
            Err(why) => {
                eprintln!("skipped: postgres: PLI_TEST_PG is not set, and none starts: {why}");
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = service("kill", directory.path());
        }
    }
}

fn service(verb: &str, directory: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/services/postgres");
    let mut command = Command::new(script);
    command.arg(verb).arg("--dir").arg(directory).stdin(Stdio::null());
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
