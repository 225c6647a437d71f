//! What a bridge must not forget: which keys had their effect, and which events are still to be
//! posted. One `SQLite` file, an fsync behind every write.
//!
//! - Units: times in seconds since 1970, of this machine's clock.
//! - Bounds: a key is kept for [`KEPT_S`] after it was last asked about. No time bounds when a node may ask
//!   again: an application may rest for years between two attempts. So each task says since when its key may
//!   have been asked about, and a key that could be a forgotten one counts as begun, never as new. Keys that
//!   are not old enough to go are never dropped: beyond [`KEYS_MAX`] new ones are put off.
//! - Invariant: a key is [`Known::New`] at most once, whatever is forgotten when.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use crate::{Answer, Sighting};

/// Most events that wait for the node; more are refused.
pub(crate) const WAITING_MAX: usize = 100_000;
/// How long a key is kept after the last task under it. Within a step's attempts minutes pass, and a failed
/// step can be repeated by hand for a week.
const KEPT_S: i64 = 30 * 86_400;
/// By how much the clocks of the nodes and of this machine may differ.
const CLOCKS_DIFFER_S: i64 = 86_400;
/// How far behind the time may be that is noted of a key's last task: repetitions are not written each.
const USED_STEP_S: i64 = 3_600;
/// Most keys that are kept.
const KEYS_MAX: usize = 10_000_000;
/// How many old keys go when a new one comes: more than one, so that they become fewer.
const FORGOTTEN_AT_ONCE: usize = 2;
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
    /// How many keys are kept: counted likewise.
    keys: usize,
}

/// When a task comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// No task under its key came before.
    pub(crate) since_s: i64,
    /// Now.
    pub(crate) now_s: i64,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it has now begun.
    New,
    /// It began before and has no answer, or may have had one that is forgotten.
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
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT,
                 used INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL,
                 id TEXT NOT NULL, data TEXT, UNIQUE (kind, id));
             CREATE INDEX IF NOT EXISTS waiting ON events (number) WHERE data IS NOT NULL;
             CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)
                 WITHOUT ROWID;",
        )?;
        note_use(&connection)?;
        let count = |query: &str| -> Result<usize> {
            let count: i64 = connection.query_row(query, [], |row| row.get(0))?;
            Ok(usize::try_from(count)?)
        };
        let waiting = count("SELECT COUNT(*) FROM events WHERE data IS NOT NULL")?;
        let keys = count("SELECT COUNT(*) FROM answers")?;
        let inner = Inner { connection, waiting, keys };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the lock panics")
    }

    /// Notes that the effect of a key is about to happen; durable when it returns.
    pub(crate) fn begin(&self, key: &str, asked: Asked) -> Result<Known> {
        let Asked { since_s, now_s } = asked;
        let mut inner = self.lock();
        let kept = inner.keys;
        let transaction = inner.connection.transaction()?;
        let query = "SELECT answer FROM answers WHERE key = ?1";
        let found = transaction.query_row(query, [key], |row| row.get::<_, Option<String>>(0));
        if let Some(answer) = found.optional()? {
            let used = "UPDATE answers SET used = ?2 WHERE key = ?1 AND used < ?3";
            transaction.execute(used, params![key, now_s, now_s - USED_STEP_S])?;
            transaction.commit()?;
            let answer = answer.map(|text| serde_json::from_str(&text)).transpose()?;
            return Ok(answer.map_or(Known::Begun, Known::Answered));
        }
        let forgotten = transaction.execute(
            "DELETE FROM answers WHERE key IN
                 (SELECT key FROM answers WHERE used < ?1 ORDER BY used LIMIT ?2)",
            params![now_s - KEPT_S - USED_STEP_S, i64::try_from(FORGOTTEN_AT_ONCE)?],
        )?;
        let kept = kept.saturating_sub(forgotten);
        anyhow::ensure!(kept < KEYS_MAX, "{kept} keys are remembered already");
        let insert = "INSERT INTO answers (key, answer, used) VALUES (?1, NULL, ?2)";
        transaction.execute(insert, params![key, now_s])?;
        transaction.commit()?;
        inner.keys = kept + 1;
        // What was asked so long ago may have been answered, and forgotten.
        let may_be_forgotten = since_s < now_s - KEPT_S + CLOCKS_DIFFER_S;
        Ok(if may_be_forgotten { Known::Begun } else { Known::New })
    }

    /// Takes the beginning back: nothing has happened.
    pub(crate) fn forget(&self, key: &str) -> Result<()> {
        let mut inner = self.lock();
        let deletion = "DELETE FROM answers WHERE key = ?1 AND answer IS NULL";
        let forgotten = inner.connection.execute(deletion, [key])?;
        inner.keys = inner.keys.saturating_sub(forgotten);
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

/// Files of earlier versions do not say when a key was last asked about: they count from now.
fn note_use(connection: &Connection) -> Result<()> {
    let known = "SELECT COUNT(*) FROM pragma_table_info('answers') WHERE name = 'used'";
    let known: i64 = connection.query_row(known, [], |row| row.get(0))?;
    if known == 0 {
        connection
            .execute_batch("ALTER TABLE answers ADD COLUMN used INTEGER NOT NULL DEFAULT 0;")?;
        connection.execute("UPDATE answers SET used = ?1", [now_s()])?;
    }
    connection.execute_batch("CREATE INDEX IF NOT EXISTS used ON answers (used);")?;
    Ok(())
}

/// The time of this machine.
pub(crate) fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_800_000_000;
    /// A task whose key is as young as can be.
    const FRESH: Asked = Asked { since_s: NOW_S, now_s: NOW_S };

    #[test]
    fn a_key_is_new_once_and_its_answer_is_kept_over_a_restart() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        assert_eq!(memory.begin("k", FRESH)?, Known::New);
        assert_eq!(memory.begin("k", FRESH)?, Known::Begun);
        let answer = Answer::new("ok", json!({"n": 1}));
        memory.keep("k", &answer)?;
        drop(memory);
        let memory = Memory::open(folder.path())?;
        assert_eq!(memory.begin("k", FRESH)?, Known::Answered(answer.clone()));
        memory.forget("k")?;
        assert_eq!(
            memory.begin("k", FRESH)?,
            Known::Answered(answer),
            "an answer is not forgotten"
        );
        Ok(())
    }

    /// After the key "old" was used, and others came later.
    fn later(used_s: i64, now_s: i64, since_s: i64) -> Result<Known> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        memory.begin("old", Asked { since_s: used_s, now_s: used_s })?;
        memory.keep("old", &Answer::new("ok", json!({})))?;
        memory.begin("another", Asked { since_s: now_s, now_s })?;
        memory.begin("old", Asked { since_s, now_s })
    }

    #[test]
    fn an_answer_is_kept_up_to_its_limit_and_what_may_be_forgotten_is_never_new() -> Result<()> {
        let limit = KEPT_S + USED_STEP_S;
        let answered = Known::Answered(Answer::new("ok", json!({})));
        assert_eq!(later(NOW_S - limit, NOW_S, NOW_S - limit)?, answered, "to the last second");
        let forgotten = NOW_S - limit - 1;
        assert_eq!(later(forgotten, NOW_S, forgotten)?, Known::Begun);
        // Whatever the node's clock says within a day.
        assert_eq!(later(forgotten, NOW_S, forgotten + CLOCKS_DIFFER_S)?, Known::Begun);
        // The same key for a task that can only have come now: nothing was asked under it.
        assert_eq!(later(forgotten, NOW_S, NOW_S)?, Known::New);
        Ok(())
    }

    #[test]
    fn a_key_that_is_asked_about_again_is_kept_on() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        let at = |now_s| Asked { since_s: NOW_S, now_s };
        memory.begin("k", FRESH)?;
        memory.keep("k", &Answer::new("ok", json!({})))?;
        for days in [20, 40, 60] {
            let now_s = NOW_S + days * 86_400;
            memory.begin(&format!("at {days}"), Asked { since_s: now_s, now_s })?;
            let known = memory.begin("k", at(now_s))?;
            assert!(matches!(known, Known::Answered(_)), "after {days} days: {known:?}");
        }
        Ok(())
    }

    #[test]
    fn keys_that_are_not_old_are_not_dropped_for_new_ones() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let memory = Memory::open(folder.path())?;
        memory.begin("k", FRESH)?;
        assert_eq!(memory.lock().keys, 1);
        memory.lock().keys = KEYS_MAX;
        assert!(memory.begin("one more", FRESH).is_err(), "put off until there is room");
        assert_eq!(memory.begin("k", FRESH)?, Known::Begun);
        memory.forget("k")?;
        assert_eq!(memory.lock().keys, KEYS_MAX - 1);
        assert_eq!(memory.begin("one more", FRESH)?, Known::New);
        drop(memory);
        assert_eq!(Memory::open(folder.path())?.lock().keys, 1, "as the file has it");
        Ok(())
    }

    #[test]
    fn a_file_without_times_counts_them_from_when_it_is_opened() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = Connection::open(folder.path().join("memory.db"))?;
        file.execute_batch(
            "CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID;
             INSERT INTO answers VALUES ('k', NULL);",
        )?;
        drop(file);
        let memory = Memory::open(folder.path())?;
        let now_s = now_s();
        memory.begin("another", Asked { since_s: now_s, now_s })?;
        assert_eq!(memory.begin("k", Asked { since_s: now_s, now_s })?, Known::Begun);
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
