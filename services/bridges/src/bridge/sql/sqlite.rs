//! `SQLite`.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use serde_json::{Map, Value, json};

use super::{Database, Failure, ROWS_MAX};

pub(super) struct Sqlite {
    connection: Arc<Mutex<Connection>>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, create: Option<&str>) -> Result<Self> {
        let connection =
            Connection::open(path).with_context(|| format!("opening {}", path.display()))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        if let Some(statements) = create {
            connection.execute_batch(statements).context("the `create` of the settings")?;
        }
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS althing_inserts
             (key TEXT PRIMARY KEY, name TEXT NOT NULL, id INTEGER NOT NULL, row TEXT NOT NULL)",
        )?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            let mut connection: MutexGuard<'_, Connection> =
                connection.lock().expect("no holder of the lock panics");
            work(&mut connection)
        });
        match done.await {
            Ok(done) => done.map_err(failure),
            Err(_) => Err(Failure::Away("the thread panicked".to_owned())),
        }
    }
}

fn failure(error: rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(
            rusqlite::ErrorCode::DatabaseBusy
            | rusqlite::ErrorCode::DatabaseLocked
            | rusqlite::ErrorCode::DiskFull
            | rusqlite::ErrorCode::SystemIoFailure,
        ) => Failure::Away(error.to_string()),
        _ => Failure::Statement(error.to_string()),
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Integer(i64::from(*flag)),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| number.as_f64().map_or(Cell::Null, Cell::Real), Cell::Integer),
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Value> {
    let mut object = Map::new();
    let names: Vec<String> = row.as_ref().column_names().map(str::to_owned).collect();
    for (index, name) in names.into_iter().enumerate() {
        let value = match row.get_ref(index)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) => json!(number),
            ValueRef::Text(bytes) => json!(String::from_utf8_lossy(bytes)),
            ValueRef::Blob(bytes) => json!(hex::encode(bytes)),
        };
        object.insert(name, value);
    }
    Ok(Value::Object(object))
}

#[async_trait]
impl Database for Sqlite {
    async fn insert(
        &self,
        table: &str,
        row: &Map<String, Value>,
        key: &str,
    ) -> Result<i64, Failure> {
        let (table, row, key) = (table.to_owned(), row.clone(), key.to_owned());
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            let known = "SELECT id FROM althing_inserts WHERE key = ?1";
            if let Some(id) =
                transaction.query_row(known, [&key], |found| found.get(0)).optional()?
            {
                return Ok(id);
            }
            let names: Vec<&str> = row.keys().map(String::as_str).collect();
            let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
            let statement = format!(
                "INSERT INTO {table} ({}) VALUES ({})",
                names.join(", "),
                places.join(", ")
            );
            transaction.execute(&statement, params_from_iter(row.values().map(cell)))?;
            let id = transaction.last_insert_rowid();
            let select = format!("SELECT * FROM {table} WHERE rowid = ?1");
            let inserted = transaction.query_row(&select, [id], read)?;
            transaction.execute(
                "INSERT INTO althing_inserts (key, name, id, row) VALUES (?1, ?2, ?3, ?4)",
                params![key, table, id, inserted.to_string()],
            )?;
            transaction.commit()?;
            Ok(id)
        })
        .await
    }

    async fn inserted(&self, key: &str) -> Result<Option<(Option<Value>, Value)>, Failure> {
        let key = key.to_owned();
        self.with(move |connection| {
            let known = "SELECT name, id, row FROM althing_inserts WHERE key = ?1";
            let found: Option<(String, i64, String)> = connection
                .query_row(known, [key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((table, id, then)) = found else { return Ok(None) };
            let select = format!("SELECT * FROM {table} WHERE rowid = ?1");
            let now = connection.query_row(&select, [id], read).optional()?;
            Ok(Some((now, serde_json::from_str(&then).unwrap_or(Value::Null))))
        })
        .await
    }

    async fn query(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Value>, Failure> {
        let (statement, parameters) = (statement.to_owned(), parameters.to_vec());
        let rows = self
            .with(move |connection| {
                let mut query = connection.prepare(&statement)?;
                if !query.readonly() {
                    return Ok(None);
                }
                let found = query.query_map(params_from_iter(parameters.iter().map(cell)), read)?;
                found.take(ROWS_MAX).collect::<rusqlite::Result<Vec<_>>>().map(Some)
            })
            .await?;
        rows.ok_or_else(|| Failure::Statement("a query only reads".to_owned()))
    }

    async fn after(&self, table: &str, id: i64) -> Result<Vec<(i64, Value)>, Failure> {
        let select = format!("SELECT * FROM {table} WHERE id > ?1 ORDER BY id LIMIT {ROWS_MAX}");
        self.with(move |connection| {
            let mut query = connection.prepare(&select)?;
            let found = query.query_map([id], |row| Ok((row.get("id")?, read(row)?)))?;
            found.collect()
        })
        .await
    }
}
