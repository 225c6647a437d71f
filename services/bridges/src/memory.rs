//! What a bridge must not forget: which keys had their effect, and which events are still to be
//! posted. One `SQLite` file, an fsync behind every write.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use crate::{Answer, Sighting};

/// Most events that wait for the node; more are refused.
pub(crate) const WAITING_MAX: usize = 100_000;
/// Most acknowledged ids that are remembered so that a repetition is not posted again.
const POSTED_MAX: i64 = 1_000_000;

/// A bridge's durable memory.
#[derive(Clone, Debug)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// How many events wait: counted once, when the file is opened.
    waiting: usize,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it has now begun.
    New,
    /// It began before and has no answer.
    Begun,
    /// It is done.
    Answered(Answer),
}

impl Memory {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    ///
    /// If the disk refuses or the file is not a database.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join("memory.db");
        let connection =
            Connection::open(&path).with_context(|| format!("opening {}", path.display()))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL,
                 id TEXT NOT NULL, data TEXT, UNIQUE (kind, id));
             CREATE INDEX IF NOT EXISTS waiting ON events (number) WHERE data IS NOT NULL;
             CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)
                 WITHOUT ROWID;",
        )?;
        let waiting = "SELECT COUNT(*) FROM events WHERE data IS NOT NULL";
        let waiting: i64 = connection.query_row(waiting, [], |row| row.get(0))?;
        let inner = Inner { connection, waiting: usize::try_from(waiting)? };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the lock panics")
    }

    /// Notes that the effect of a key is about to happen; durable when it returns.
    pub(crate) fn begin(&self, key: &str) -> Result<Known> {
        let connection = &self.lock().connection;
        let fresh = connection
            .execute("INSERT OR IGNORE INTO answers (key, answer) VALUES (?1, NULL)", [key])?;
        if fresh == 1 {
            return Ok(Known::New);
        }
        let answer: Option<String> =
            connection
                .query_row("SELECT answer FROM answers WHERE key = ?1", [key], |row| row.get(0))?;
        Ok(match answer {
            Some(text) => Known::Answered(serde_json::from_str(&text)?),
            None => Known::Begun,
        })
    }

    /// Takes the beginning back: nothing has happened.
    pub(crate) fn forget(&self, key: &str) -> Result<()> {
        let connection = &self.lock().connection;
        connection.execute("DELETE FROM answers WHERE key = ?1 AND answer IS NULL", [key])?;
        Ok(())
    }

    /// Keeps the answer; durable when it returns.
    pub(crate) fn keep(&self, key: &str, answer: &Answer) -> Result<()> {
        let text = serde_json::to_string(answer)?;
        let connection = &self.lock().connection;
        connection.execute("UPDATE answers SET answer = ?2 WHERE key = ?1", params![key, text])?;
        Ok(())
    }

    /// Adds an event to those that wait; false if its id is known. Durable when it returns.
    pub(crate) fn add(&self, sighting: &Sighting) -> Result<bool> {
        let mut inner = self.lock();
        let waiting = inner.waiting;
        anyhow::ensure!(waiting < WAITING_MAX, "{waiting} events wait for the node already");
        let added = inner.connection.execute(
            "INSERT OR IGNORE INTO events (kind, id, data) VALUES (?1, ?2, ?3)",
            params![sighting.kind, sighting.id, sighting.data.to_string()],
        )?;
        inner.waiting += added;
        Ok(added == 1)
    }

    /// The events that have waited longest.
    pub(crate) fn waiting(&self, most: u32) -> Result<Vec<(i64, Sighting)>> {
        let connection = &self.lock().connection;
        let mut query = connection.prepare(
            "SELECT number, kind, id, data FROM events WHERE data IS NOT NULL
             ORDER BY number LIMIT ?1",
        )?;
        let rows = query.query_map([most], |row| {
            let data: String = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, data))
        })?;
        rows.map(|row| {
            let (number, kind, id, data): (i64, String, String, String) = row?;
            Ok((number, Sighting { kind, id, data: serde_json::from_str::<Value>(&data)? }))
        })
        .collect()
    }

    /// The node has acknowledged these: their ids stay, their data goes.
    pub(crate) fn posted(&self, numbers: &[i64]) -> Result<()> {
        let mut inner = self.lock();
        let transaction = inner.connection.transaction()?;
        let mut posted = 0;
        for number in numbers {
            let posting = "UPDATE events SET data = NULL WHERE number = ?1 AND data IS NOT NULL";
            posted += transaction.execute(posting, [number])?;
        }
        transaction.execute(
            "DELETE FROM events WHERE data IS NULL
             AND number <= (SELECT MAX(number) FROM events) - ?1",
            [POSTED_MAX],
        )?;
        transaction.commit()?;
        inner.waiting = inner.waiting.saturating_sub(posted);
        Ok(())
    }

    /// What a bridge has noted for itself.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn note(&self, name: &str) -> Result<Option<String>> {
        let query = "SELECT value FROM notes WHERE name = ?1";
        Ok(self.lock().connection.query_row(query, [name], |row| row.get(0)).optional()?)
    }

    /// Notes whose names begin like this, in the order of their names, and no more than `most`.
    pub(crate) fn notes(&self, beginning: &str, most: u32) -> Result<Vec<(String, String)>> {
        let connection = &self.lock().connection;
        let mut query = connection.prepare(
            "SELECT name, value FROM notes WHERE substr(name, 1, length(?1)) = ?1 AND name >= ?1
             ORDER BY name LIMIT ?2",
        )?;
        let rows =
            query.query_map(params![beginning, most], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many notes have a name that begins like this.
    pub(crate) fn count_notes(&self, beginning: &str) -> Result<u32> {
        let query = "SELECT COUNT(*) FROM notes WHERE substr(name, 1, length(?1)) = ?1";
        Ok(self.lock().connection.query_row(query, [beginning], |row| row.get(0))?)
    }

    /// Removes a note; durable when it returns.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub fn forget_note(&self, name: &str) -> Result<()> {
        self.lock().connection.execute("DELETE FROM notes WHERE name = ?1", [name])?;
        Ok(())
    }

    /// Notes something; durable when it returns.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub fn set_note(&self, name: &str, value: &str) -> Result<()> {
        self.lock().connection.execute(
            "INSERT INTO notes (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![name, value],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_new_once_and_its_answer_is_kept_over_a_restart() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        assert_eq!(memory.begin("k")?, Known::New);
        assert_eq!(memory.begin("k")?, Known::Begun);
        let answer = Answer::new("ok", json!({"n": 1}));
        memory.keep("k", &answer)?;
        drop(memory);
        let memory = Memory::open(folder.path())?;
        assert_eq!(memory.begin("k")?, Known::Answered(answer.clone()));
        memory.forget("k")?;
        assert_eq!(memory.begin("k")?, Known::Answered(answer), "an answer is not forgotten");
        Ok(())
    }

    #[test]
    fn an_event_waits_until_it_is_posted_and_its_id_counts_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        let sighting =
            Sighting { kind: "tick".to_owned(), id: "1".to_owned(), data: json!({"n": 1}) };
        assert!(memory.add(&sighting)?);
        assert!(!memory.add(&sighting)?);
        drop(memory);
        let memory = Memory::open(folder.path())?;
        let waiting = memory.waiting(10)?;
        assert_eq!(waiting.len(), 1);
        memory.posted(&[waiting[0].0])?;
        assert!(memory.waiting(10)?.is_empty());
        assert!(!memory.add(&sighting)?, "an id counts once for ever");
        Ok(())
    }

    #[test]
    fn what_waits_is_counted_as_the_file_has_it() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        for id in ["1", "2", "2", "3"] {
            let (kind, id) = ("tick".to_owned(), id.to_owned());
            memory.add(&Sighting { kind, id, data: json!({}) })?;
        }
        assert_eq!(memory.lock().waiting, 3);
        let first = memory.waiting(1)?[0].0;
        memory.posted(&[first])?;
        memory.posted(&[first, 77])?;
        assert_eq!(memory.lock().waiting, 2, "posted once, whatever is said twice");
        drop(memory);
        let memory = Memory::open(folder.path())?;
        assert_eq!(memory.lock().waiting, 2);
        memory.lock().waiting = WAITING_MAX;
        let one_more = Sighting { kind: "tick".to_owned(), id: "4".to_owned(), data: json!({}) };
        assert!(memory.add(&one_more).is_err(), "more than that are refused");
        Ok(())
    }
}
