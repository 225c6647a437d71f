//! Which program does a native service's tasks on this node.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use althing_types::Hash;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Most connections of a node.
const CONNECTIONS_MAX: usize = 1_024;
/// Longest URL in bytes.
const URL_BYTES_MAX: usize = 2_048;
/// Longest file of connections in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Fills bytes with entropy; false if there is none.
pub type Entropy = dyn Fn(&mut [u8]) -> bool + Send + Sync;

/// A program and what it shares with the node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Where tasks are posted.
    pub url: String,
    /// Signs what the node posts, as Standard Webhooks write it: `whsec_` and base64.
    pub secret: String,
    /// Lets the program report events: 64 hexadecimal digits.
    pub token: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a program is not connected. Each has a page in `docs/errors`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The URL cannot be posted to.
    #[error("{url:?} is not a URL that tasks can be posted to: {reason}")]
    Url {
        /// What was given, shortened.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The node has as many connections as it may.
    #[error("the node has {CONNECTIONS_MAX} connections already")]
    TooMany,
    /// The system gave no random bytes.
    #[error("the system gave no entropy for a secret")]
    Entropy,
    /// The file of connections is no such file.
    #[error("{path} is not a file of connections", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it is damaged.
        #[source]
        source: serde_json::Error,
    },
    /// The disk refuses.
    #[error("{operation} {path} failed", path = path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ConnectionError {
    /// The code of the error's page.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "PRG-0001",
            Self::TooMany => "PRG-0002",
            Self::Entropy => "PRG-0003",
            Self::Damaged { .. } => "PRG-0004",
            Self::Io { .. } => "PRG-0005",
        }
    }

    /// What the node's operator can do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Url { .. } => {
                "give the address at which the program listens, with http:// or https://"
            }
            Self::TooMany => {
                "forget programs that are gone: `althing service connect SERVICE --disconnect`"
            }
            Self::Entropy => "see why the operating system gives no random bytes",
            Self::Damaged { .. } => {
                "restore the file, or move it away and connect each program again"
            }
            Self::Io { .. } => "see that the node's folder can be written and its disk has room",
        }
    }
}

/// The node's connections, in a file that only its owner may read.
pub struct Connections {
    path: PathBuf,
    entropy: Arc<Entropy>,
    by_service: RwLock<BTreeMap<Hash, Connection>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Connections {
    /// Reads the file, which need not exist yet.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] if it exists and cannot be read.
    pub fn open(path: &Path, entropy: Arc<Entropy>) -> Result<Self, ConnectionError> {
        let by_service = RwLock::new(read(path)?);
        Ok(Self { path: path.to_owned(), entropy, by_service })
    }

    /// Connects a service to a program, or moves it to another URL, with a new secret and token.
    /// Durable when it returns. May block on the disk.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] if the URL is none, or nothing can be stored.
    pub fn connect(&self, service: Hash, url: &str) -> Result<Connection, ConnectionError> {
        let url = checked(url)?;
        let mut by_service = self.by_service.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = by_service.clone();
        if changed.len() >= CONNECTIONS_MAX && !changed.contains_key(&service) {
            return Err(ConnectionError::TooMany);
        }
        let connection = Connection {
            url,
            secret: format!("whsec_{}", base64(&*self.random()?)),
            token: hex::encode(*self.random()?),
        };
        changed.insert(service, connection.clone());
        write(&self.path, &changed)?;
        *by_service = changed;
        Ok(connection)
    }

    /// Forgets a connection with its secrets; false if there was none. May block on the disk.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] if the change cannot be stored.
    pub fn disconnect(&self, service: &Hash) -> Result<bool, ConnectionError> {
        let mut by_service = self.by_service.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = by_service.clone();
        if changed.remove(service).is_none() {
            return Ok(false);
        }
        write(&self.path, &changed)?;
        *by_service = changed;
        Ok(true)
    }

    /// The connection of a service.
    #[must_use]
    pub fn find(&self, service: &Hash) -> Option<Connection> {
        self.by_service.read().unwrap_or_else(PoisonError::into_inner).get(service).cloned()
    }

    /// All connections, by ascending service.
    #[must_use]
    pub fn list(&self) -> Vec<(Hash, Connection)> {
        let by_service = self.by_service.read().unwrap_or_else(PoisonError::into_inner);
        by_service.iter().map(|(service, connection)| (*service, connection.clone())).collect()
    }

    fn random(&self) -> Result<Zeroizing<[u8; 32]>, ConnectionError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let filled = (self.entropy)(bytes.as_mut_slice());
        if filled { Ok(bytes) } else { Err(ConnectionError::Entropy) }
    }
}

/// The URL in its normal form.
fn checked(text: &str) -> Result<String, ConnectionError> {
    let wrong = |reason| {
        let url = text.chars().filter(|c| !c.is_control()).take(100).collect();
        ConnectionError::Url { url, reason }
    };
    if text.len() > URL_BYTES_MAX {
        return Err(wrong("it is too long"));
    }
    let url: Url = text.parse().map_err(|_| wrong("it cannot be read"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are spoken"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it carries a password, which the log would show"));
    }
    Ok(url.into())
}

fn read(path: &Path) -> Result<BTreeMap<Hash, Connection>, ConnectionError> {
    let failed = |source| ConnectionError::Io { operation: "reading", path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let damaged = |source| ConnectionError::Damaged { path: path.into(), source };
    let by_name: BTreeMap<String, Connection> = serde_json::from_str(&text).map_err(damaged)?;
    let by_hash = by_name.into_iter().map(|(name, connection)| match name.parse() {
        Ok(service) => Ok((service, connection)),
        Err(_) => Err(damaged(serde::de::Error::custom(format!("{name:?} is not a service")))),
    });
    by_hash.collect()
}

/// The new file replaces the old one as a whole; temporary files are created with mode 600.
fn write(path: &Path, connections: &BTreeMap<Hash, Connection>) -> Result<(), ConnectionError> {
    let failed = |source| ConnectionError::Io { operation: "writing", path: path.into(), source };
    let by_name: BTreeMap<String, &Connection> =
        connections.iter().map(|(service, c)| (service.to_string(), c)).collect();
    let text = serde_json::to_vec_pretty(&by_name).map_err(|error| failed(error.into()))?;
    let text = Zeroizing::new(text);
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(failed)?;
    file.write_all(&text).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

/// Standard base64 with padding, as Standard Webhooks write secrets.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place)) & 63;
            text.push(match place <= chunk.len() {
                true => char::from(DIGITS[digit as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn counting() -> Arc<Entropy> {
        let next = AtomicU8::new(1);
        Arc::new(move |bytes| {
            bytes.fill(next.fetch_add(1, Ordering::Relaxed));
            true
        })
    }

    #[test]
    fn connections_survive_are_private_and_get_new_secrets_when_they_move() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connections.json");
        let service = Hash([7; 32]);
        let connections = Connections::open(&path, counting()).unwrap();
        let first = connections.connect(service, "http://127.0.0.1:7101").unwrap();
        let moved = connections.connect(service, "https://shop.example/tasks").unwrap();
        assert!(moved.secret != first.secret && moved.token != first.token);
        assert_eq!(moved.url, "https://shop.example/tasks");
        drop(connections);
        let again = Connections::open(&path, counting()).unwrap();
        assert_eq!(again.find(&service), Some(moved));
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &fs::metadata(&path).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(again.disconnect(&service).unwrap());
        assert!(!again.disconnect(&service).unwrap());
        assert_eq!(Connections::open(&path, counting()).unwrap().list(), []);
    }

    #[test]
    fn what_cannot_be_posted_to_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connections.json");
        let connections = Connections::open(&path, counting()).unwrap();
        let long = format!("http://x/{}", "a".repeat(URL_BYTES_MAX));
        for url in ["", "shop", "ftp://x/", "http://", "http://a:b@x/", "file:///etc/passwd", &long]
        {
            let refused = connections.connect(Hash([7; 32]), url);
            let code = refused.map_err(|error| error.code());
            assert_eq!(code, Err("PRG-0001"), "{url:?}");
        }
        assert_eq!(connections.list(), []);
    }

    #[test]
    fn what_keeps_a_program_from_being_connected_has_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connections.json");
        let code = |path: &Path, entropy| {
            let refused = Connections::open(path, entropy)
                .and_then(|connections| connections.connect(Hash([7; 32]), "http://x/"));
            refused.map_err(|error| error.code())
        };
        assert_eq!(code(&path, Arc::new(|_: &mut [u8]| false)), Err("PRG-0003"));
        let all = Connections::open(&path, counting()).unwrap();
        for number in 0..CONNECTIONS_MAX {
            let mut service = Hash([0; 32]);
            service.0[..8].copy_from_slice(&number.to_le_bytes());
            let connection =
                Connection { url: "http://x/".into(), secret: String::new(), token: String::new() };
            all.by_service.write().unwrap().insert(service, connection);
        }
        let refused = all.connect(Hash([255; 32]), "http://x/");
        assert_eq!(refused.map_err(|error| error.code()), Err("PRG-0002"));
        fs::write(&path, "{\"x\": 1}").unwrap();
        assert_eq!(code(&path, counting()), Err("PRG-0004"));
        assert_eq!(code(folder.path(), counting()), Err("PRG-0005"), "a folder is no file");
    }

    #[test]
    fn a_secret_is_standard_base64_and_never_printed() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foob"), "Zm9vYg==");
        assert_eq!(base64(&[255; 3]), "////");
        let connection = Connection {
            url: "http://x/".into(),
            secret: "whsec_hidden".into(),
            token: "hidden".into(),
        };
        assert!(!format!("{connection:?}").contains("hidden"));
    }
}
