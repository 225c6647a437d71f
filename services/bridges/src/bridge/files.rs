//! `files`: reads and writes in one folder, and tells of files that appear there.
//!
//! Settings: `{"folder": "…", "watch": "inbox"}`. Paths stay in the folder, whatever links are in it.
//! A file is told of when two looks, half a second apart, find it the same; its id is its path and
//! the hash of its bytes. The twin is a folder of the bridge's own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::json;
use sha3::{Digest as _, Keccak256};

use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Largest file that is read or written, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files that a look takes in.
const FILES_MAX: usize = 10_000;

pub(super) struct Files {
    folder: PathBuf,
    watched: Option<String>,
}

impl Files {
    pub(super) fn open(setup: &Setup) -> Result<Self> {
        let folder = match setup.config.text("folder") {
            Some(folder) if !setup.twin => PathBuf::from(folder),
            _ => setup.folder.join("files"),
        };
        let watched = setup.config.text("watch").map(str::to_owned);
        let inside = folder.join(watched.as_deref().unwrap_or_default());
        std::fs::create_dir_all(&inside)
            .with_context(|| format!("creating {}", inside.display()))?;
        let folder = folder.canonicalize().context("finding the folder")?;
        Ok(Self { folder, watched })
    }

    /// Where a path leads, if it stays in the folder.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !plain {
            return None;
        }
        let whole = self.folder.join(path);
        // A link may lead elsewhere: the nearest folder that exists must be inside.
        let existing = whole.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok())?;
        existing.canonicalize().ok()?.starts_with(&self.folder).then_some(whole)
    }

    fn read(&self, path: &str) -> Result<Answer, Trouble> {
        let Some(file) = self.inside(path) else {
            return Ok(Answer::new("missing", json!({ "path": path })));
        };
        match file.metadata() {
            Ok(found) if found.is_file() && found.len() <= FILE_BYTES_MAX => {}
            Ok(_) => return Err(Trouble::Never("not a file of at most 1 MiB".to_owned())),
            Err(_) => return Ok(Answer::new("missing", json!({ "path": path }))),
        }
        let bytes = std::fs::read(&file).map_err(|error| Trouble::Again(error.to_string()))?;
        let hash = hex::encode(Keccak256::digest(&bytes));
        let text = String::from_utf8(bytes)
            .map_err(|_| Trouble::Never("the file is not UTF-8".to_owned()))?;
        Ok(Answer::new("ok", json!({ "text": text, "hash": hash })))
    }

    fn write(&self, path: &str, text: &str) -> Result<Answer, Trouble> {
        let Some(file) = self.inside(path) else {
            return Err(Trouble::Never(format!("'{path}' does not stay in the folder")));
        };
        let written = (|| {
            let parent = file.parent().unwrap_or(&self.folder);
            std::fs::create_dir_all(parent)?;
            // Whole or not at all, also for who watches the folder.
            let hidden = parent.join(format!(".{}.part", hex::encode(Keccak256::digest(path))));
            let mut part = std::fs::File::create(&hidden)?;
            part.write_all(text.as_bytes())?;
            part.sync_all()?;
            std::fs::rename(&hidden, &file)?;
            std::fs::File::open(parent)?.sync_all()
        })();
        written.map_err(|error: std::io::Error| Trouble::Again(error.to_string()))?;
        let hash = hex::encode(Keccak256::digest(text));
        Ok(Answer::new("ok", json!({ "path": path, "hash": hash })))
    }

    /// All files of the watched folder: by path, when they were changed and how long they are.
    fn look(&self) -> BTreeMap<String, (SystemTime, u64)> {
        let Some(watched) = &self.watched else { return BTreeMap::new() };
        let Ok(entries) = std::fs::read_dir(self.folder.join(watched)) else {
            return BTreeMap::new();
        };
        entries
            .flatten()
            .take(FILES_MAX)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let found = entry.metadata().ok()?;
                let wanted = found.is_file() && !name.starts_with('.');
                let changed = found.modified().ok()?;
                wanted.then(|| (format!("{watched}/{name}"), (changed, found.len())))
            })
            .collect()
    }

    fn sighting(&self, path: &str) -> Option<Sighting> {
        let file = self.inside(path)?;
        let bytes = std::fs::read(file).ok()?;
        let hash = hex::encode(Keccak256::digest(&bytes));
        Some(Sighting {
            kind: "appeared".to_owned(),
            id: format!("{path} {hash}"),
            data: json!({ "path": path, "bytes": bytes.len(), "hash": hash }),
        })
    }
}

#[async_trait]
impl Bridge for Files {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        match task.name.as_str() {
            "read" => self.read(task.text("path")),
            "write" => self.write(task.text("path"), task.text("text")),
            other => Err(Trouble::Never(format!("files has no task '{other}'"))),
        }
    }

    fn watch(self: Arc<Self>, outbox: Outbox) {
        if self.watched.is_some() {
            tokio::spawn(async move {
                let mut before = BTreeMap::new();
                let mut told = BTreeMap::new();
                loop {
                    let now = self.look();
                    for (path, state) in &now {
                        let settled = before.get(path) == Some(state);
                        if !settled || told.get(path) == Some(state) {
                            continue;
                        }
                        let Some(sighting) = self.sighting(path) else { continue };
                        match outbox.add(sighting).await {
                            Ok(_) => {
                                told.insert(path.clone(), *state);
                            }
                            Err(error) => tracing::warn!(%error, path, "a file is told of later"),
                        }
                    }
                    told.retain(|path, _| now.contains_key(path));
                    before = now;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Files {
        Files { folder: folder.canonicalize().unwrap(), watched: None }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.write("a/b.txt", "hello").unwrap();
        let read = files.read("a/b.txt").unwrap();
        assert_eq!((read.status.as_str(), &read.output["text"]), ("ok", &json!("hello")));
        assert_eq!(files.read("a/c.txt").unwrap().status, "missing");
    }

    #[test]
    fn no_path_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let files = files(folder.path());
        for path in ["../x", "/etc/passwd", "a/../../x", "link/secret", "link/new", "", "."] {
            assert!(files.inside(path).is_none(), "{path}");
            assert!(files.write(path, "x").is_err(), "{path}");
        }
        assert!(!outside.path().join("new").exists());
    }
}
