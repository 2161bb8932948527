//! The broker and the database server of a run. What a workload makes there goes with it: the
//! databases of a million deliveries take 42 GB.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tests::net::Net;

use crate::report::Run;

/// Where the services are: `PLI_TEST_AMQP` or `PLI_TEST_KAFKA`, and `PLI_TEST_PG`.
pub(crate) struct Services {
    /// Broker.
    pub(crate) backbone: String,
    /// Database server.
    database: String,
    /// URLs of databases that were made there.
    made: Mutex<Vec<String>>,
}

/// What `work` measures. Its databases are dropped afterwards, also when it failed.
pub(crate) async fn with(
    work: impl AsyncFnOnce(&Services) -> Result<Vec<Run>>,
) -> Result<Vec<Run>> {
    let services = Services::find()?;
    let runs = work(&services).await;
    let cleared = services.clear().await;
    // Why it failed says more than what could not be dropped after it.
    let runs = runs?;
    cleared.map(|()| runs)
}

impl Services {
    /// From the environment.
    fn find() -> Result<Self> {
        let chosen = std::env::var("PLI_BENCH_BACKBONE").unwrap_or_else(|_| "amqp".to_owned());
        let variable = if chosen == "kafka" { "PLI_TEST_KAFKA" } else { "PLI_TEST_AMQP" };
        let url = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        let (backbone, database) = (url(variable)?, url("PLI_TEST_PG")?);
        Ok(Self { backbone, database, made: Mutex::default() })
    }

    /// A network on them.
    pub(crate) fn up(&self) -> Result<Net> {
        let net = Net::up_with(&self.options())?;
        for node in ["etat", "cd-34"] {
            self.note(store_of(&net, node)?);
        }
        Ok(net)
    }

    /// What `pli localnet up` takes.
    pub(crate) fn options(&self) -> [&str; 4] {
        ["--backbone", &self.backbone, "--store", &self.database]
    }

    /// The URL of an empty database.
    pub(crate) async fn create(&self, name: &str) -> Result<String> {
        let url = exchange_store::create_database(&self.database, name).await?;
        self.note(url.clone());
        Ok(url)
    }

    fn note(&self, url: String) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(url);
    }

    async fn clear(self) -> Result<()> {
        let made = self.made.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut server = PgConnection::connect(&self.database).await?;
        for url in made {
            let place = url.split('?').next().unwrap_or(&url);
            let (_, name) = place.rsplit_once('/').context("no database in a URL")?;
            let drop = format!("drop database if exists \"{name}\" with (force)");
            server.execute(AssertSqlSafe(drop)).await?;
        }
        Ok(())
    }
}

/// The URL of the database of a node.
pub(crate) fn store_of(net: &Net, node: &str) -> Result<String> {
    let config = std::fs::read_to_string(net.dir().join(node).join("node.toml"))?;
    let config: toml::Table = toml::from_str(&config)?;
    let url = config.get("store").and_then(|s| s.get("url")).and_then(|u| u.as_str());
    Ok(url.context("no store.url")?.to_owned())
}
