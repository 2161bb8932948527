//! PostgreSQL: a file for each table, all of one snapshot of the server.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::str::FromStr;

use futures::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::{Archive, JUMP, Progress, Table, file_trouble};
use crate::StoreError;
use crate::db::{Db, trouble};
use crate::migrate;
use crate::text::{time, unsigned};

/// Octets of one read while loading.
const CHUNK: usize = 256 * 1024;

/// Tables that others refer to; they are loaded first.
const FIRST: [&str; 3] = ["messages", "deliveries", "clients"];

const TABLES: &str = "select table_name::text from information_schema.tables
where table_schema = current_schema() and table_type = 'BASE TABLE' and table_name <> 'migrations'
order by table_name";
const COLUMNS: &str = "select column_name::text from information_schema.columns
where table_schema = current_schema() and table_name = $1 and is_generated = 'NEVER'
order by ordinal_position";
const NUMBERED: &str = "select table_name::text, column_name::text from information_schema.columns
where table_schema = current_schema() and is_identity = 'YES'";
const SIZE: &str = "select pg_database_size(current_database())";
const FACTS: &str = "select
  (select max(version) from migrations),
  (select count(*) from causes where cause like 'audit:%'),
  (select count(*) from messages), (select count(*) from deliveries),
  (select count(*) from evidence), (select max(stored_at) from evidence)";

/// A connection without limits of time: a large table takes as long as it takes.
async fn connect(url: &str) -> Result<PgConnection, StoreError> {
    PgConnectOptions::from_str(url)
        .map_err(trouble)?
        .application_name("pli backup")
        .options([
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
            ("synchronous_commit", "on"),
        ])
        .disable_statement_logging()
        .connect()
        .await
        .map_err(trouble)
}

pub(super) async fn snapshot(
    url: &str,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Archive, StoreError> {
    let mut server = connect(url).await?;
    run(&mut server, "begin isolation level repeatable read read only").await?;
    // The first statement fixes what all others see.
    let facts: (i64, i64, i64, i64, i64, Option<i64>) =
        sqlx::query_as(FACTS).fetch_one(&mut server).await.map_err(trouble)?;
    let (total,): (i64,) = sqlx::query_as(SIZE).fetch_one(&mut server).await.map_err(trouble)?;
    let mut written = 0;
    let mut tables = Vec::new();
    for name in table_names(&mut server).await? {
        let columns = strings(&mut server, COLUMNS, Some(&name)).await?;
        let list = quoted(&columns);
        let (rows,): (i64,) =
            sqlx::query_as(AssertSqlSafe(format!("select count(*) from {}", quote(&name))))
                .fetch_one(&mut server)
                .await
                .map_err(trouble)?;
        let copy = format!("copy {} ({list}) to stdout (format binary)", quote(&name));
        let path = dir.join(format!("{name}.copy"));
        let mut file = BufWriter::new(File::create(&path).map_err(|e| file_trouble(&path, &e))?);
        let mut stream = server.copy_out_raw(&copy).await.map_err(trouble)?;
        while let Some(bytes) = stream.try_next().await.map_err(trouble)? {
            file.write_all(&bytes).map_err(|e| file_trouble(&path, &e))?;
            written += bytes.len() as u64;
            progress(written, unsigned(total));
        }
        drop(stream);
        let file = file.into_inner().map_err(|e| file_trouble(&path, e.error()))?;
        file.sync_all().map_err(|e| file_trouble(&path, &e))?;
        tables.push(Table { name, columns, rows: unsigned(rows) });
    }
    run(&mut server, "commit").await?;
    server.close().await.map_err(trouble)?;
    Ok(Archive {
        dialect: "postgres".to_owned(),
        schema: facts.0,
        tables,
        acts: unsigned(facts.1),
        messages: unsigned(facts.2),
        deliveries: unsigned(facts.3),
        objects: unsigned(facts.4),
        last_object: facts.5.map(time),
    })
}

pub(super) async fn is_empty(url: &str) -> Result<bool, StoreError> {
    let mut server = connect(url).await?;
    let mut empty = true;
    for name in table_names(&mut server).await? {
        let (some,): (bool,) =
            sqlx::query_as(AssertSqlSafe(format!("select exists (select from {})", quote(&name))))
                .fetch_one(&mut server)
                .await
                .map_err(trouble)?;
        empty &= !some;
    }
    server.close().await.map_err(trouble)?;
    Ok(empty)
}

pub(super) async fn load(
    url: &str,
    dir: &Path,
    archive: &Archive,
    progress: Progress<'_>,
) -> Result<(), StoreError> {
    let pool = sqlx::PgPool::connect(url).await.map_err(trouble)?;
    let migrated = migrate::run_to(&Db::Postgres(pool.clone()), archive.schema).await;
    pool.close().await;
    migrated?;
    let mut server = connect(url).await?;
    run(&mut server, "begin").await?;
    let known = table_names(&mut server).await?;
    let mut tables: Vec<&Table> = archive.tables.iter().collect();
    tables.sort_by_key(|t| FIRST.iter().position(|f| *f == t.name).unwrap_or(FIRST.len()));
    let sizes = tables
        .iter()
        .map(|t| std::fs::metadata(dir.join(format!("{}.copy", t.name))).map_or(0, |m| m.len()));
    let total: u64 = sizes.sum();
    let mut done = 0;
    for table in tables {
        if !known.contains(&table.name) {
            return Err(StoreError::Corrupt(format!("a table of no schema: {:?}", table.name)));
        }
        let rows = load_table(&mut server, dir, table, &mut |octets| {
            done += octets;
            progress(done, total);
        })
        .await?;
        if rows != table.rows {
            let text = format!("{} of {} rows of {} went in", rows, table.rows, table.name);
            return Err(StoreError::Corrupt(text));
        }
    }
    jump(&mut server).await?;
    run(&mut server, "commit").await?;
    run(&mut server, "analyze").await?;
    server.close().await.map_err(trouble)
}

async fn load_table(
    server: &mut PgConnection,
    dir: &Path,
    table: &Table,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, StoreError> {
    let (name, list) = (quote(&table.name), quoted(&table.columns));
    let path = dir.join(format!("{}.copy", table.name));
    let mut file = File::open(&path).map_err(|e| file_trouble(&path, &e))?;
    let statement = format!("copy {name} ({list}) from stdin (format binary)");
    let mut copy = server.copy_in_raw(&statement).await.map_err(trouble)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = file.read(&mut buffer).map_err(|e| file_trouble(&path, &e))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        copy.send(bytes).await.map_err(trouble)?;
        told(read as u64);
    }
    copy.finish().await.map_err(trouble)
}

/// Numbers go on far above those that were handed out.
async fn jump(server: &mut PgConnection) -> Result<(), StoreError> {
    let numbered: Vec<(String, String)> =
        sqlx::query_as(NUMBERED).fetch_all(&mut *server).await.map_err(trouble)?;
    for (table, column) in numbered {
        let (t, c) = (quote(&table), quote(&column));
        let next = format!(
            "select setval(pg_get_serial_sequence($1, $2), coalesce(max({c}), 0) + {JUMP}) from {t}"
        );
        sqlx::query(AssertSqlSafe(next))
            .bind(&t)
            .bind(&column)
            .execute(&mut *server)
            .await
            .map_err(trouble)?;
    }
    Ok(())
}

async fn table_names(server: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    strings(server, TABLES, None).await
}

async fn strings(
    server: &mut PgConnection,
    sql: &'static str,
    about: Option<&str>,
) -> Result<Vec<String>, StoreError> {
    let query = sqlx::query_as(sql);
    let query = match about {
        Some(value) => query.bind(value.to_owned()),
        None => query,
    };
    let rows: Vec<(String,)> = query.fetch_all(server).await.map_err(trouble)?;
    Ok(rows.into_iter().map(|(text,)| text).collect())
}

async fn run(server: &mut PgConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(server).await.map(drop).map_err(trouble)
}

/// An identifier. Names come from the catalogue of the server, or from a sealed index.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quoted(&["a".to_owned(), "B".to_owned()]), "\"a\", \"B\"");
    }
}
