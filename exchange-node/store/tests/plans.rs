//! How PostgreSQL plans what runs with every batch. A queue is empty most of the time: to the
//! planner it holds one row then, and every index that can be used looks as good as the right one.

mod server;

use exchange_store::conformance::Ground as _;
use server::Server;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Seen when one row was left of many, then filled again.
const FILLED_AGAIN: [&str; 4] = [
    "insert into queue (state, kind, head, order_key, due, since, peer, payload)
     select 'waiting', 'publish', true, 'k' || n, 1, 1, 'p', repeat('x', 400)::bytea
     from generate_series(1, 20000) as n",
    "delete from queue where id < 20000",
    "vacuum analyze queue",
    "insert into queue (state, kind, head, order_key, due, since, peer, payload)
     select 'waiting', 'publish', true, 'l' || n, 1, 1, 'p', repeat('x', 400)::bytea
     from generate_series(1, 10000) as n",
];

/// An inbox of which a few items come from a version that did not say what they hold.
const INBOX_OF_MANY: [&str; 5] = [
    "insert into inbox (delivery, member, phase, octets)
     select gen_random_uuid(), 'm', 'consigned', nullif(n % 10000, 0)
     from generate_series(1, 200000) as n",
    "insert into delivery_keys (delivery, document, cipher_sha256, cipher_size, wrapped_key)
     select delivery, gen_random_uuid(), decode(md5(delivery::text), 'hex'), 7, 'k'
     from inbox order by seq limit 50000",
    "vacuum analyze inbox",
    "vacuum analyze delivery_keys",
    "set enable_seqscan = off",
];

/// Statements, and what stands for their parameters.
const BY_ID: [(&str, &str, &[&str]); 3] = [
    (
        "done",
        include_str!("../sql/postgres/queue_done.sql"),
        &["(select array_agg(n) from generate_series(21000, 21124) as n)"],
    ),
    (
        "dead",
        include_str!("../sql/postgres/queue_dead.sql"),
        &["array[21000, 21001]", "array['a', 'b']"],
    ),
    (
        "retry",
        include_str!("../sql/postgres/queue_retry.sql"),
        &["array[21000, 21001]", "array[1, 1]", "array['a', 'b']"],
    ),
];

#[tokio::test]
async fn rows_of_the_queue_are_found_by_their_ids_whatever_was_seen_of_it() {
    let Some(server) = Server::find() else { return };
    let mut database = seen(&server, "plans", &FILLED_AGAIN).await.unwrap();
    for (name, statement, values) in BY_ID {
        let plan = plan(&mut database, statement, values).await.unwrap();
        assert!(plan.contains("queue_pkey"), "{name}: {plan}");
    }
}

/// Whether something of a key waits already is looked up for each key of a batch: to read all that waits
/// instead costs the less, to the planner, the emptier the queue was when it planned.
#[tokio::test]
async fn whether_a_key_waits_is_looked_up_and_not_read_from_all_that_waits() {
    let Some(server) = Server::find() else { return };
    let mut database = seen(&server, "keys", &FILLED_AGAIN).await.unwrap();
    database.execute("set enable_seqscan = off").await.unwrap();
    let insert = include_str!("../sql/postgres/queue_insert.sql");
    let (texts, numbers) = ("array['publish', 'publish']", "array[1::bigint, 1]");
    let keys = "array['a', 'b']";
    let values = [
        texts,
        numbers,
        keys,
        numbers,
        numbers,
        "array[gen_random_uuid(), gen_random_uuid()]",
        keys,
        "array['x'::bytea, 'y']",
        "1::bigint",
    ];
    let plan = plan(&mut database, insert, &values).await.unwrap();
    let condition = "Index Cond: ((kind = u.kind) AND (order_key = u.order_key))";
    assert!(plan.contains("queue_order") && plan.contains(condition), "{plan}");
}

/// What waits for a member is counted from the rows of its inbox; only those that do not say what
/// they hold, which an index of their own finds, cost a look at their keys.
#[tokio::test]
async fn what_waits_for_a_member_is_counted_without_its_keys() {
    let Some(server) = Server::find() else { return };
    let mut database = seen(&server, "usage", &INBOX_OF_MANY).await.unwrap();
    let usage = include_str!("../sql/postgres/inbox_usage.sql");
    let plan = plan(&mut database, usage, &["array['m']"]).await.unwrap();
    assert!(plan.contains("inbox_unweighed"), "{plan}");
    assert!(plan.contains("Parallel") && plan.contains("inbox_member"), "{plan}");
}

/// A database of a node that has seen these statements.
async fn seen(
    server: &Server,
    name: &str,
    statements: &[&'static str],
) -> Result<PgConnection, Box<dyn std::error::Error>> {
    let url = server.fresh(name).await?;
    exchange_store::open(&url).await?.close().await;
    let mut database = PgConnection::connect(&url).await?;
    for statement in statements {
        database.execute(*statement).await?;
    }
    Ok(database)
}

/// The lines of a plan, as a node's connections make them.
async fn plan(
    database: &mut PgConnection,
    statement: &str,
    values: &[&str],
) -> sqlx::Result<String> {
    let statement = values.iter().enumerate().fold(statement.to_owned(), |text, (n, value)| {
        text.replace(&format!("${}", n + 1), &format!("({value})"))
    });
    let explain = AssertSqlSafe(format!("explain {statement}"));
    let plan: Vec<(String,)> = sqlx::query_as(explain).fetch_all(database).await?;
    Ok(plan.into_iter().map(|(line,)| line).collect::<Vec<_>>().join("\n"))
}
