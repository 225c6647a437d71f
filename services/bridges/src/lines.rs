//! A file that only grows: what a twin has done, one JSON object a line, each key once.
//!
//! - Shapes: the keys and their places are in memory, the rest is read when somebody looks.
//! - Errors: a line that could not be written whole is taken back; asking again is right.
//! - Invariant: whatever crashes when, the file is whole lines: a torn last one is cut off when it is
//!   opened, and its key counts as new, for nobody was told of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Most lines: a twin is for examples and tests.
const LINES_MAX: usize = 1_000_000;

/// A file of lines.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    /// The property that names a line.
    name: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Where the last whole line ends.
    length: u64,
    /// The number of each key's line, from 0.
    numbers: HashMap<String, usize>,
}

impl Lines {
    /// Opens the file, or creates it; `name` is the property that is a line's key.
    pub(crate) fn open(path: &Path, name: &'static str) -> Result<Self> {
        let opening = || format!("opening {}", path.display());
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).with_context(opening)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(opening)?;
        let length = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        text.truncate(length);
        let mut numbers = HashMap::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let number = numbers.len();
            let value: Value = serde_json::from_slice(line)
                .with_context(|| format!("line {} of {}", number + 1, path.display()))?;
            let key = value.get(name).and_then(Value::as_str);
            let key = key.with_context(|| format!("a line of {} has no key", path.display()))?;
            numbers.insert(key.to_owned(), number);
        }
        let length = u64::try_from(length)?;
        file.set_len(length).with_context(opening)?;
        let state = Mutex::new(State { file, length, numbers });
        Ok(Self { path: path.to_owned(), name, state })
    }

    /// The number of the key's line; a new key gets the line that `make` says for its number.
    pub(crate) fn add(&self, key: &str, make: impl FnOnce(usize) -> Value) -> Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = state.numbers.get(key) {
            return Ok(*number);
        }
        let number = state.numbers.len();
        ensure!(number < LINES_MAX, "{number} lines are kept already");
        let mut line = make(number);
        line[self.name] = key.into();
        let line = format!("{line}\n");
        let (before, length) = (state.length, u64::try_from(line.len())?);
        let State { file, .. } = &mut *state;
        let written =
            file.seek(SeekFrom::Start(before)).and_then(|_| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            // What was written of it is written over by the next one, or cut off by it.
            file.set_len(before).ok();
            return Err(error).with_context(|| format!("writing {}", self.path.display()));
        }
        state.length = before + length;
        state.numbers.insert(key.to_owned(), number);
        Ok(number)
    }

    /// All lines.
    pub(crate) fn all(&self) -> Vec<Value> {
        // Those that are whole now; another may be under way.
        let length = self.state.lock().unwrap_or_else(PoisonError::into_inner).length;
        let text = std::fs::read(&self.path).unwrap_or_default();
        let whole = usize::try_from(length).unwrap_or(usize::MAX).min(text.len());
        text[..whole]
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn add(lines: &Lines, key: &str) -> usize {
        lines.add(key, |number| json!({ "n": number })).unwrap()
    }

    #[test]
    fn a_key_has_one_line_also_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done.jsonl");
        let lines = Lines::open(&path, "key").unwrap();
        assert_eq!((add(&lines, "a"), add(&lines, "b"), add(&lines, "a")), (0, 1, 0));
        drop(lines);
        let lines = Lines::open(&path, "key").unwrap();
        assert_eq!((add(&lines, "b"), add(&lines, "c")), (1, 2));
        let all = lines.all();
        assert_eq!(all[1], json!({ "key": "b", "n": 1 }));
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_opens_as_the_lines_that_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done.jsonl");
        let lines = Lines::open(&path, "key").unwrap();
        for key in ["one", "t\u{fc}r", "three"] {
            add(&lines, key);
        }
        drop(lines);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let lines = Lines::open(&path, "key").unwrap();
            let left = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(lines.all().len(), left);
            // The torn line's key is new, and the file is whole again.
            for key in ["one", "t\u{fc}r", "three"] {
                add(&lines, key);
            }
            drop(lines);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut after {length} bytes");
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("done.jsonl");
        std::fs::write(&path, "{\"key\":\"a\"}\nnonsense\n{\"key\":\"b\"}\n").unwrap();
        let error = format!("{:#}", Lines::open(&path, "key").unwrap_err());
        assert!(error.contains("line 2"), "{error}");
    }
}
