//! `SQLite`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{
    Connection, InterruptHandle, OpenFlags, OptionalExtension as _, params, params_from_iter,
};
use serde_json::{Map, Value, json};

use super::{Database, Failure, Inserted, QUERY_TIMEOUT, ROWS_BYTES_MAX, ROWS_MAX};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Sqlite {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, create: Option<&str>) -> Result<Self> {
        let connection =
            Connection::open(path).with_context(|| format!("opening {}", path.display()))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if let Some(statements) = create {
            connection.execute_batch(statements).context("the `create` of the settings")?;
        }
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS althing_inserts
             (key TEXT PRIMARY KEY, name TEXT NOT NULL, id INTEGER NOT NULL, row TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS althing_asked (key TEXT PRIMARY KEY, row TEXT NOT NULL)",
        )?;
        Ok(Self { path: path.to_owned(), connection: Arc::new(Mutex::new(connection)) })
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

/// Interrupts what a connection does, at the latest when this is dropped.
struct Interrupts(InterruptHandle);

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// What a reading statement finds, within the bounds.
fn rows(
    connection: &Connection,
    statement: &str,
    parameters: &[Value],
) -> Result<Vec<Value>, Failure> {
    let mut query = connection.prepare(statement).map_err(failure)?;
    if !query.readonly() || query.column_count() == 0 {
        return Err(Failure::Statement("a query only reads".to_owned()));
    }
    let mut rows = query.query(params_from_iter(parameters.iter().map(cell))).map_err(failure)?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while found.len() < ROWS_MAX
        && let Some(row) = rows.next().map_err(failure)?
    {
        bytes += row_bytes(row).map_err(failure)?;
        if bytes > ROWS_BYTES_MAX {
            let limit = ROWS_BYTES_MAX >> 20;
            return Err(Failure::Statement(format!("the rows have more than {limit} MiB")));
        }
        found.push(read(row).map_err(failure)?);
    }
    Ok(found)
}

/// About what a row needs as JSON, before it is copied.
fn row_bytes(row: &rusqlite::Row<'_>) -> rusqlite::Result<usize> {
    let mut bytes: usize = 0;
    for (index, name) in row.as_ref().column_names().enumerate() {
        let value = match row.get_ref(index)? {
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
            ValueRef::Text(text) => text.len(),
            ValueRef::Blob(blob) => 2 * blob.len(),
        };
        bytes = bytes.saturating_add(name.len()).saturating_add(value);
    }
    Ok(bytes)
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
            transaction.execute(
                "INSERT INTO althing_asked (key, row) VALUES (?1, ?2)",
                params![key, Value::Object(row).to_string()],
            )?;
            transaction.commit()?;
            Ok(id)
        })
        .await
    }

    async fn inserted(&self, key: &str) -> Result<Option<Inserted>, Failure> {
        let key = key.to_owned();
        self.with(move |connection| {
            let known = "SELECT name, id, althing_inserts.row, althing_asked.row
                 FROM althing_inserts LEFT JOIN althing_asked USING (key) WHERE key = ?1";
            let found: Option<(String, i64, String, Option<String>)> = connection
                .query_row(known, [key], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            let Some((table, id, then, asked)) = found else { return Ok(None) };
            let select = format!("SELECT * FROM {table} WHERE rowid = ?1");
            let now = connection.query_row(&select, [id], read).optional()?;
            let json = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            let asked = asked.as_deref().map(json);
            Ok(Some(Inserted { table, id, asked, then: json(&then), now }))
        })
        .await
    }

    async fn query(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Value>, Failure> {
        let (statement, parameters) = (statement.to_owned(), parameters.to_vec());
        let path = self.path.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let asked = tokio::task::spawn_blocking(move || {
            // Strangers write the statement: whatever it sets, begins or attaches ends with this
            // connection, which cannot write.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags).map_err(failure)?;
            connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
            if tell.send(Interrupts(connection.get_interrupt_handle())).is_err() {
                return Err(Failure::Away("nobody waits for the answer".to_owned()));
            }
            rows(&connection, &statement, &parameters)
        });
        // Ends the statement when it has taken too long, and when nobody waits for it any more.
        let interrupts = told.await;
        let rows = tokio::time::timeout(QUERY_TIMEOUT, asked).await;
        drop(interrupts);
        match rows {
            Ok(Ok(rows)) => rows,
            Ok(Err(_)) => Err(Failure::Away("the thread panicked".to_owned())),
            Err(_) => {
                let limit = QUERY_TIMEOUT.as_secs();
                Err(Failure::Statement(format!("a query takes at most {limit} s")))
            }
        }
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
