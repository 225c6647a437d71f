//! `sql`: `SQLite` and `PostgreSQL`: insert, query, and rows that appear.
//!
//! Settings: `{"url": "sqlite:shop.db" | "postgres://…", "tables": ["orders"], "watch": ["orders"]}`; how
//! safe the way to PostgreSQL is to be, its address says (`sslmode`). Only
//! the tables that are named can be written to; a watched one has a growing integer column `id`. An
//! insert and its idempotency key are one transaction, so it happens exactly once. `verify` looks
//! whether the row that was asked for is still there, unchanged. A query reads, for 15 s and 2 MiB at
//! most, on terms that end with it. The twin is a `SQLite` file of the bridge's own.

mod postgres;
mod sqlite;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::numbers::carried;
use crate::{Answer, Bridge, Judgement, Outbox, Setup, Sighting, Task, Trouble};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Most rows of a query, and of one look at a watched table.
const ROWS_MAX: usize = 1000;

/// How long a query may take: less than the manifest's limit for the task.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);
/// Most that the rows of a query come to, in bytes: what the manifest lets an output have.
const ROWS_BYTES_MAX: usize = 2 << 20;

/// What one kind of database can do.
#[async_trait]
trait Database: Send + Sync + 'static {
    /// Inserts a row under a key, once; its `id`.
    async fn insert(
        &self,
        table: &str,
        row: &Map<String, Value>,
        key: &str,
    ) -> Result<i64, Failure>;
    /// What was inserted under a key.
    async fn inserted(&self, key: &str) -> Result<Option<Inserted>, Failure>;
    /// Rows of a reading statement.
    async fn query(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Value>, Failure>;
    /// Rows of a table above an `id`, ascending.
    async fn after(&self, table: &str, id: i64) -> Result<Vec<(i64, Value)>, Failure>;
}

/// A row that was inserted under a key.
struct Inserted {
    table: String,
    id: i64,
    /// The row of the input; none if it was inserted before this was kept.
    asked: Option<Value>,
    /// The row as the database had it afterwards.
    then: Value,
    /// The row as it is now; none if it is gone.
    now: Option<Value>,
}

/// Why a database did not do it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The statement is at fault.
    #[error("{0}")]
    Statement(String),
    /// The database cannot be reached or is busy.
    #[error("{0}")]
    Away(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Statement(why) => Self::Never(why),
            Failure::Away(why) => Self::Again(why),
        }
    }
}

struct Sql {
    database: Box<dyn Database>,
    tables: Vec<String>,
    watched: Vec<String>,
}

pub(super) async fn open(setup: &Setup) -> Result<Arc<dyn Bridge>> {
    let (tables, watched) = (setup.config.texts("tables"), setup.config.texts("watch"));
    for table in tables.iter().chain(&watched) {
        ensure!(is_plain(table), "'{table}' is no plain name of a table");
    }
    let create = setup.config.text("create");
    let url = setup.config.text("url").filter(|_| !setup.twin);
    let database: Box<dyn Database> = match url {
        Some(url) if url.starts_with("postgres") => {
            Box::new(postgres::Postgres::open(url, create).await?)
        }
        Some(url) => {
            let path = url.strip_prefix("sqlite:").context("`url` is sqlite:… or postgres://…")?;
            Box::new(sqlite::Sqlite::open(std::path::Path::new(path), create)?)
        }
        None => Box::new(sqlite::Sqlite::open(&setup.folder.join("twin.db"), create)?),
    };
    Ok(Arc::new(Sql { database, tables, watched }))
}

/// Names go into statements as they are, so they are letters, digits and underscores.
fn is_plain(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[async_trait]
impl Bridge for Sql {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        let rejected = |why: String| Ok(Answer::new("rejected", json!({ "reason": why })));
        match task.name.as_str() {
            "insert" => {
                let table = task.text("table");
                if !self.tables.iter().any(|known| known == table) {
                    return rejected(format!("the table '{table}' may not be written to"));
                }
                let Some(row) = task.input.get("row").and_then(Value::as_object) else {
                    return rejected("the row is not an object".to_owned());
                };
                if let Some(name) = row.keys().find(|name| !is_plain(name)) {
                    return rejected(format!("'{name}' is no plain name of a column"));
                }
                match self.database.insert(table, row, &task.key).await {
                    Ok(id) => Ok(Answer::new("ok", json!({ "id": id, "key": task.key }))),
                    Err(Failure::Statement(why)) => rejected(why),
                    Err(away) => Err(away.into()),
                }
            }
            "query" => {
                let parameters = task.input.get("parameters").and_then(Value::as_array);
                let parameters = parameters.cloned().unwrap_or_default();
                match self.database.query(task.text("sql"), &parameters).await {
                    Ok(rows) => Ok(Answer::new("ok", json!({ "rows": carried(rows.into()) }))),
                    Err(Failure::Statement(why)) => rejected(why),
                    Err(away) => Err(away.into()),
                }
            }
            other => Err(Trouble::Never(format!("sql has no task '{other}'"))),
        }
    }

    async fn verify(&self, task: Task, answer: Answer) -> Result<Judgement, Trouble> {
        let invalid = |why: &str| Ok(Judgement { valid: false, reason: why.to_owned() });
        let valid = Ok(Judgement { valid: true, reason: String::new() });
        match (task.name.as_str(), answer.status.as_str()) {
            ("insert", "ok") => {
                let key = answer.output.get("key").and_then(Value::as_str).unwrap_or_default();
                let Some(known) = self.database.inserted(key).await? else {
                    return invalid("no row was inserted under this key");
                };
                let row = task.input.get("row");
                // Another row that is still there would be no answer to this input.
                if known.table != task.text("table")
                    || answer.output.get("id").and_then(Value::as_i64) != Some(known.id)
                    || known.asked.as_ref().is_some_and(|asked| row != Some(asked))
                {
                    return invalid("another row was inserted under this key");
                }
                match known.now {
                    None => invalid("the row is gone"),
                    Some(now) if now != known.then => invalid("the row was changed"),
                    Some(_) => valid,
                }
            }
            ("query", "ok") => {
                let parameters = task.input.get("parameters").and_then(Value::as_array);
                let parameters = parameters.cloned().unwrap_or_default();
                let rows = self.database.query(task.text("sql"), &parameters).await?;
                if answer.output.get("rows") == Some(&carried(rows.into())) {
                    valid
                } else {
                    invalid("the query gives other rows here")
                }
            }
            _ => invalid("a rejection cannot be checked"),
        }
    }

    fn watch(self: Arc<Self>, outbox: Outbox) {
        for index in 0..self.watched.len() {
            tokio::spawn(look(Arc::clone(&self), index, outbox.clone()));
        }
    }
}

async fn look(sql: Arc<Sql>, index: usize, outbox: Outbox) {
    let Some(table) = sql.watched.get(index) else { return };
    let note = format!("last row of {table}");
    let noted = outbox.memory().note(&note).ok().flatten();
    let mut last: i64 = noted.and_then(|text| text.parse().ok()).unwrap_or(0);
    loop {
        match sql.database.after(table, last).await {
            Ok(rows) => {
                for (id, row) in rows {
                    let sighting = Sighting {
                        kind: "row".to_owned(),
                        id: format!("{table} {id}"),
                        data: json!({ "table": table, "id": id, "row": row }),
                    };
                    if outbox.add(sighting).await.is_err() {
                        break;
                    }
                    last = id;
                }
                if let Err(error) = outbox.memory().set_note(&note, &last.to_string()) {
                    tracing::warn!(%error, table, "rows may be told of again, under the same ids");
                }
            }
            Err(Failure::Statement(why)) => {
                tracing::error!(why, table, "the table is not watched");
                return;
            }
            Err(Failure::Away(why)) => tracing::warn!(why, table, "the database is away"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_more_than_names_are_refused() {
        assert!(is_plain("orders_2"));
        for name in ["", "a b", "a;drop", "1a", "a\"b", "é"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
