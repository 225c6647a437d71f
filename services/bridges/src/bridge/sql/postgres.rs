//! `PostgreSQL`. Values come and go as JSON: `json_populate_record` and `to_jsonb` know every column type.
//!
//! - Bound: nothing waits for the database longer than [`ANSWER_TIMEOUT`], so that neither a task nor the
//!   watch of a table hangs on a connection whose other side is gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::Severity;
use tokio_postgres::types::Json;

use super::tls::{self, NotSafe, Route};
use super::{Database, Failure, Inserted, QUERY_TIMEOUT, ROWS_BYTES_MAX, ROWS_MAX};

/// How long it may take to reach the machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the database may be silent on what it was asked: less than the manifest's limit for a task. A
/// query ends before by its own limit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(18);

pub(super) struct Postgres {
    route: Route,
    client: Arc<Mutex<Option<Client>>>,
}

const INSERTS: &str = "CREATE TABLE IF NOT EXISTS althing_inserts
     (key TEXT PRIMARY KEY, name TEXT NOT NULL, id BIGINT NOT NULL, row JSONB NOT NULL);
     CREATE TABLE IF NOT EXISTS althing_asked (key TEXT PRIMARY KEY, row JSONB NOT NULL)";

impl Postgres {
    /// Connects, and prepares the tables.
    ///
    /// # Errors
    ///
    /// If the address is none, the database cannot be reached as safely as it asks, or refuses.
    pub(super) async fn open(url: &str, create: Option<&str>) -> Result<Self> {
        let mut route = tls::route(url)?;
        if route.config.get_connect_timeout().is_none() {
            route.config.connect_timeout(CONNECT_TIMEOUT);
        }
        let postgres = Self { route, client: Arc::default() };
        let mut held = postgres.client().await?;
        let client = connected(&mut held)?;
        if let Some(statements) = create {
            client.batch_execute(statements).await.context("the `create` of the settings")?;
        }
        client.batch_execute(INSERTS).await.context("creating the table of idempotency keys")?;
        drop(held);
        Ok(postgres)
    }

    /// The connection; a broken one is made anew.
    async fn client(&self) -> Result<MutexGuard<'_, Option<Client>>, Failure> {
        let mut held = self.client.lock().await;
        if held.as_ref().is_none_or(Client::is_closed) {
            *held = None;
            let Route { config, tls } = &self.route;
            let connecting = timeout(ANSWER_TIMEOUT, config.connect(tls.clone()));
            let silent = |_| Failure::Away("no connection in time".to_owned());
            let (client, connection) = connecting.await.map_err(silent)?.map_err(failure)?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "the connection to the database ended");
                }
            });
            *held = Some(client);
        }
        Ok(held)
    }
}

fn failure(error: tokio_postgres::Error) -> Failure {
    if let Some(refused) = NotSafe::of(&error) {
        return Failure::Away(refused.to_string());
    }
    let text = error.as_db_error().map_or_else(|| error.to_string(), |error| error.to_string());
    let fatal = error.as_db_error().is_some_and(|error| {
        matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
    });
    if error.as_db_error().is_none() || fatal {
        Failure::Away(text)
    } else {
        Failure::Statement(text)
    }
}

fn connected(held: &mut Option<Client>) -> Result<&mut Client, Failure> {
    held.as_mut().ok_or_else(|| Failure::Away("no connection".to_owned()))
}

/// What the database said. A connection that was silent is left: the other side may be gone without a
/// word, and whoever asks next would wait as long again.
fn heard<T>(
    held: &mut Option<Client>,
    said: Result<Result<T, Failure>, Elapsed>,
) -> Result<T, Failure> {
    said.unwrap_or_else(|_| {
        *held = None;
        Err(Failure::Away(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))
    })
}

#[async_trait]
impl Database for Postgres {
    async fn insert(
        &self,
        table: &str,
        row: &Map<String, Value>,
        key: &str,
    ) -> Result<i64, Failure> {
        let mut held = self.client().await?;
        let inserting = insert(connected(&mut held)?, table, row, key);
        let said = timeout(ANSWER_TIMEOUT, inserting).await;
        heard(&mut held, said)
    }

    async fn inserted(&self, key: &str) -> Result<Option<Inserted>, Failure> {
        let mut held = self.client().await?;
        let said = timeout(ANSWER_TIMEOUT, inserted(connected(&mut held)?, key)).await;
        heard(&mut held, said)
    }

    async fn query(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Value>, Failure> {
        let mut held = self.client().await?;
        let querying = query(connected(&mut held)?, statement, parameters);
        let said = timeout(ANSWER_TIMEOUT, querying).await;
        heard(&mut held, said)
    }

    async fn after(&self, table: &str, id: i64) -> Result<Vec<(i64, Value)>, Failure> {
        let mut held = self.client().await?;
        let said = timeout(ANSWER_TIMEOUT, after(connected(&mut held)?, table, id)).await;
        heard(&mut held, said)
    }
}

async fn insert(
    client: &mut Client,
    table: &str,
    row: &Map<String, Value>,
    key: &str,
) -> Result<i64, Failure> {
    let transaction = client.transaction().await.map_err(failure)?;
    let known = "SELECT id FROM althing_inserts WHERE key = $1";
    if let Some(found) = transaction.query_opt(known, &[&key]).await.map_err(failure)? {
        return Ok(found.get(0));
    }
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    let names = names.join(", ");
    let statement = format!(
        "INSERT INTO {table} ({names}) SELECT {names}
         FROM jsonb_populate_record(NULL::{table}, $1) RETURNING id::BIGINT, to_jsonb({table})"
    );
    let whole = Json(Value::Object(row.clone()));
    let inserted = transaction.query_one(&statement, &[&whole]).await.map_err(failure)?;
    let (id, now): (i64, Json<Value>) = (inserted.get(0), inserted.get(1));
    transaction
        .execute(
            "INSERT INTO althing_inserts (key, name, id, row) VALUES ($1, $2, $3, $4)",
            &[&key, &table, &id, &now],
        )
        .await
        .map_err(failure)?;
    transaction
        .execute("INSERT INTO althing_asked (key, row) VALUES ($1, $2)", &[&key, &whole])
        .await
        .map_err(failure)?;
    transaction.commit().await.map_err(failure)?;
    Ok(id)
}

async fn inserted(client: &Client, key: &str) -> Result<Option<Inserted>, Failure> {
    let known = "SELECT name, id, althing_inserts.row, althing_asked.row
         FROM althing_inserts LEFT JOIN althing_asked USING (key) WHERE key = $1";
    let Some(found) = client.query_opt(known, &[&key]).await.map_err(failure)? else {
        return Ok(None);
    };
    let (table, id): (String, i64) = (found.get(0), found.get(1));
    let (then, asked): (Json<Value>, Option<Json<Value>>) = (found.get(2), found.get(3));
    let select = format!("SELECT to_jsonb({table}) FROM {table} WHERE id = $1::BIGINT");
    let now = client.query_opt(&select, &[&id]).await.map_err(failure)?;
    let now = now.map(|row| row.get::<_, Json<Value>>(0).0);
    Ok(Some(Inserted { table, id, asked: asked.map(|asked| asked.0), then: then.0, now }))
}

async fn query(
    client: &mut Client,
    statement: &str,
    parameters: &[Value],
) -> Result<Vec<Value>, Failure> {
    let reading = client.build_transaction().read_only(true).start().await.map_err(failure)?;
    // Strangers write the statement: without a limit it could hold the only connection for ever.
    let limit = format!("SET LOCAL statement_timeout = {}", QUERY_TIMEOUT.as_millis());
    reading.batch_execute(&limit).await.map_err(failure)?;
    // Parameters come as one JSON array, so that a statement casts them as it needs.
    let whole = Json(Value::Array(parameters.to_vec()));
    let limited = format!(
        "WITH parameters AS (SELECT $1::JSONB AS p),
              found AS (SELECT * FROM ({statement}) AS asked LIMIT {ROWS_MAX}),
              sized AS (SELECT to_jsonb(found) AS row FROM found)
         SELECT CASE WHEN (SELECT SUM(OCTET_LENGTH(row::TEXT)) FROM sized) <= {ROWS_BYTES_MAX}
                THEN row END FROM sized"
    );
    let rows = reading.query(&limited, &[&whole]).await.map_err(failure)?;
    let rows = rows.iter().map(|row| row.get::<_, Option<Json<Value>>>(0).map(|row| row.0));
    rows.collect::<Option<_>>().ok_or_else(|| {
        let limit = ROWS_BYTES_MAX >> 20;
        Failure::Statement(format!("the rows have more than {limit} MiB"))
    })
}

async fn after(client: &Client, table: &str, id: i64) -> Result<Vec<(i64, Value)>, Failure> {
    let select = format!(
        "SELECT id::BIGINT, to_jsonb({table}) FROM {table} WHERE id > $1::BIGINT
         ORDER BY id LIMIT {ROWS_MAX}"
    );
    let rows = client.query(&select, &[&id]).await.map_err(failure)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, Json<Value>>(1).0)).collect())
}
