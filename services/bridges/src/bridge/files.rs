//! `files`: reads and writes in one folder, and tells of files that appear there.
//!
//! Settings: `{"folder": "…", "watch": "inbox", "serve": {"public": "https://cdn.example.org"}}`. Paths
//! stay in the folder, whatever links are in it. Bytes that are no text are read and written in base64.
//! A file is told of when two looks, half a second apart, find it the same; its id is its path and
//! the hash of its bytes. With `serve` everybody may fetch files under `/files/PATH`, hidden ones
//! aside, and what is written has a `url` there: below `public`, else at the bridge's own address.
//! The twin is a folder of the bridge's own.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path as Place, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha3::{Digest as _, Keccak256};

use crate::outbox::escaped;
use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Largest file that is read or written, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How much of a file that appeared is in memory at a time, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Most files that a look takes in.
const FILES_MAX: usize = 10_000;

pub(super) struct Files {
    folder: PathBuf,
    watched: Option<String>,
    /// What the address of a served file begins with.
    served: Option<String>,
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
        let served = setup.config.0.get("serve").filter(|serve| **serve != json!(false));
        let served = served.map(|serve| {
            let public = serve.get("public").and_then(Value::as_str);
            let base = public.map_or_else(|| format!("http://{}", setup.listen), str::to_owned);
            format!("{}/files/", base.trim_end_matches('/'))
        });
        Ok(Self { folder, watched, served })
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

    fn read(&self, path: &str, encoding: Encoding) -> Result<Answer, Trouble> {
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
        let text = match encoding {
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Utf8 => String::from_utf8(bytes)
                .map_err(|_| Trouble::Never("the file is not UTF-8: ask for base64".to_owned()))?,
        };
        Ok(Answer::new("ok", json!({ "text": text, "hash": hash })))
    }

    fn write(&self, path: &str, text: &str, encoding: Encoding) -> Result<Answer, Trouble> {
        let bytes = match encoding {
            Encoding::Utf8 => text.as_bytes().to_vec(),
            Encoding::Base64 => STANDARD
                .decode(text)
                .map_err(|error| Trouble::Never(format!("`text` is not base64: {error}")))?,
        };
        let Some(file) = self.inside(path) else {
            return Err(Trouble::Never(format!("'{path}' does not stay in the folder")));
        };
        let written = (|| {
            let parent = file.parent().unwrap_or(&self.folder);
            std::fs::create_dir_all(parent)?;
            // Whole or not at all, also for who watches the folder.
            let hidden = parent.join(format!(".{}.part", hex::encode(Keccak256::digest(path))));
            let mut part = std::fs::File::create(&hidden)?;
            part.write_all(&bytes)?;
            part.sync_all()?;
            std::fs::rename(&hidden, &file)?;
            std::fs::File::open(parent)?.sync_all()
        })();
        written.map_err(|error: std::io::Error| match error.kind() {
            // No later attempt can write to such a path.
            ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists => Trouble::Never(format!("'{path}': {error}")),
            _ => Trouble::Again(error.to_string()),
        })?;
        let hash = hex::encode(Keccak256::digest(&bytes));
        let mut output = json!({ "path": path, "hash": hash });
        if let Some(served) = &self.served {
            let parts: Vec<String> = path.split('/').map(escaped).collect();
            output["url"] = json!(format!("{served}{}", parts.join("/")));
        }
        Ok(Answer::new("ok", output))
    }

    /// A file that everybody may have.
    fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        let file = self.inside(path).filter(|_| !hidden && self.served.is_some())?;
        let found = file.metadata().ok()?;
        if !found.is_file() || found.len() > FILE_BYTES_MAX {
            return None;
        }
        std::fs::read(file).ok()
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

    /// The hash of a file of any length, read in pieces.
    fn sighting(&self, path: &str) -> Option<Sighting> {
        let mut file = std::fs::File::open(self.inside(path)?).ok()?;
        let mut hasher = Keccak256::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut bytes: u64 = 0;
        loop {
            let count = file.read(&mut piece).ok()?;
            let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
            hasher.update(read);
            bytes += u64::try_from(count).ok()?;
        }
        let hash = hex::encode(hasher.finalize());
        Some(Sighting {
            kind: "appeared".to_owned(),
            id: format!("{path} {hash}"),
            data: json!({ "path": path, "bytes": bytes, "hash": hash }),
        })
    }
}

/// What the text of a file stands for.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Base64,
}

impl Encoding {
    fn of(task: &Task) -> Result<Self, Trouble> {
        match task.text("encoding") {
            "" | "utf8" => Ok(Self::Utf8),
            "base64" => Ok(Self::Base64),
            other => Err(Trouble::Never(format!("there is no encoding '{other}'"))),
        }
    }
}

/// What a browser is told that a file is; nothing that it would run.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "json" => "application/json",
        "txt" | "csv" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

async fn serve(State(files): State<Arc<Files>>, Place(path): Place<String>) -> Response {
    let kind = kind(&path);
    match tokio::task::spawn_blocking(move || files.fetch(&path)).await {
        Ok(Some(bytes)) => {
            let headers =
                [(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (headers, bytes).into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such file").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[async_trait]
impl Bridge for Files {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        match task.name.as_str() {
            "read" => self.read(task.text("path"), Encoding::of(&task)?),
            "write" => self.write(task.text("path"), task.text("text"), Encoding::of(&task)?),
            other => Err(Trouble::Never(format!("files has no task '{other}'"))),
        }
    }

    fn routes(self: Arc<Self>, _outbox: Outbox) -> Router {
        if self.served.is_none() {
            return Router::new();
        }
        Router::new().route("/files/{*path}", get(serve)).with_state(self)
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
        let served = Some("http://cdn/files/".to_owned());
        Files { folder: folder.canonicalize().unwrap(), watched: None, served }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let written = files.write("a/b c.txt", "hello", Encoding::Utf8).unwrap();
        assert_eq!(written.output["url"], "http://cdn/files/a/b%20c.txt");
        let read = files.read("a/b c.txt", Encoding::Utf8).unwrap();
        assert_eq!((read.status.as_str(), &read.output["text"]), ("ok", &json!("hello")));
        assert_eq!(files.read("a/c.txt", Encoding::Utf8).unwrap().status, "missing");
    }

    #[test]
    fn bytes_that_are_no_text_go_in_and_out_as_base64() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.write("x.bin", "/wD+", Encoding::Base64).unwrap();
        assert_eq!(std::fs::read(folder.path().join("x.bin")).unwrap(), [255, 0, 254]);
        assert_eq!(files.read("x.bin", Encoding::Base64).unwrap().output["text"], "/wD+");
        assert!(matches!(files.read("x.bin", Encoding::Utf8), Err(Trouble::Never(_))));
        assert!(matches!(files.write("y", "!", Encoding::Base64), Err(Trouble::Never(_))));
    }

    #[test]
    fn only_plain_files_of_the_folder_are_served_and_none_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.write("a/p.png", "picture", Encoding::Utf8).unwrap();
        std::fs::write(folder.path().join(".hidden"), "s").unwrap();
        assert_eq!(files.fetch("a/p.png").as_deref(), Some(b"picture".as_slice()));
        for path in ["a", ".hidden", "a/../.hidden", "../x", "", "none"] {
            assert_eq!(files.fetch(path), None, "{path}");
        }
        files.served = None;
        assert_eq!(files.fetch("a/p.png"), None);
    }

    #[test]
    fn a_path_that_can_never_be_written_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for path in ["a\0b", &"x".repeat(300), "folder", "file/below"] {
            let said = files.write(path, "x", Encoding::Utf8);
            assert!(matches!(said, Err(Trouble::Never(_))), "{path:?}: {said:?}");
        }
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
            assert!(files.write(path, "x", Encoding::Utf8).is_err(), "{path}");
        }
        assert!(!outside.path().join("new").exists());
    }
}
