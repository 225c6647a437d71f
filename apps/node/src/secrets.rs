//! What owners of applications give to the nodes that work for them: kept by the application's home.
//!
//! ```text
//!   owner ── PUT, signed ──► home: secrets.json (mode 600)
//!   executor, named by the step and drawn ── request: execution (32) ──► home ── names and values ──► executor
//! ```
//!
//! Requests go over the connection on which the asker has proven its endpoint, and the ledger says who is
//! there; the connection is encrypted from end to end, and nobody passes anything on.
//!
//! - Shapes: a value is a text of 1 to [`VALUE_BYTES_MAX`] bytes. It belongs to the owner and the
//!   application's name without its version, so that a new version has it too.
//! - Errors: [`SecretError`].
//! - Invariants: a value is in the file, in an answer to whom [`given`] lets have it, and nowhere else: not on
//!   the ledger, in a blob, a log or an answer of the HTTP interface. The file is whole and private, or
//!   absent.
//! - Source: `docs/adr/0014-secrets.md`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use althing_application::Compiled;
use althing_ledger::{ApplicationRecord, Execution, MemberState, Origin, Phase, Role, query};
use althing_network::{Inbound, Kind, Network, Reply};
use althing_replica::Reader;
use althing_types::{Address, EndpointId, Hash, Name};
use althing_work::port::{BoxFuture, Secrets, Vault};
use bytes::Bytes;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::blobs::BlobStore;

/// Longest value in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 4 << 10;
/// Most secrets that a node keeps.
const SECRETS_MAX: usize = 1_024;
/// Longest file that is read: that many of the longest, escaped at worst.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// How many requests are answered at the same time.
const ANSWERED_MAX: usize = 4;

/// Why a secret cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The node keeps as many as it may.
    #[error("the node keeps {SECRETS_MAX} secrets already")]
    TooMany,
    /// Empty, or too long.
    #[error("a secret is a text of 1 to {VALUE_BYTES_MAX} bytes")]
    Length,
    /// Others than its owner can read the file.
    #[error("others can read {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file is no file of secrets. What stands in it is not told.
    #[error("{path} is not a file of secrets", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
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

/// By owner and application, then by name.
type Kept = BTreeMap<String, BTreeMap<String, Zeroizing<String>>>;

/// The secrets that this node keeps.
pub(crate) struct SecretStore {
    path: PathBuf,
    kept: RwLock<Kept>,
}

impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Under what the secrets of an application are kept: its owner's word, whatever others call theirs.
fn key_of(record: &ApplicationRecord) -> String {
    let alias = &record.terms.alias;
    format!("{} {}/{}", record.owner, alias.namespace, alias.name)
}

impl SecretStore {
    /// Reads the file, which need not exist yet.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if it exists and cannot be read, or others can read it.
    pub(crate) fn open(path: &Path) -> Result<Self, SecretError> {
        Ok(Self { path: path.to_owned(), kept: RwLock::new(read(path)?) })
    }

    /// Keeps a value, in place of an earlier one. Durable when it returns. May block on the disk.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if it is none, or cannot be stored.
    pub(crate) fn set(
        &self,
        record: &ApplicationRecord,
        name: &Name,
        value: Zeroizing<String>,
    ) -> Result<(), SecretError> {
        if !(1..=VALUE_BYTES_MAX).contains(&value.len()) {
            return Err(SecretError::Length);
        }
        self.change(|kept| {
            let of = kept.entry(key_of(record)).or_default();
            of.insert(name.to_string(), value);
            true
        })
        .map(drop)
    }

    /// Forgets a value; false if there was none. May block on the disk.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if the change cannot be stored.
    pub(crate) fn forget(
        &self,
        record: &ApplicationRecord,
        name: &Name,
    ) -> Result<bool, SecretError> {
        self.change(|kept| {
            let Some(of) = kept.get_mut(&key_of(record)) else { return false };
            let known = of.remove(name.as_str()).is_some();
            if of.is_empty() {
                kept.remove(&key_of(record));
            }
            known
        })
    }

    fn change(&self, change: impl FnOnce(&mut Kept) -> bool) -> Result<bool, SecretError> {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = kept.clone();
        if !change(&mut changed) {
            return Ok(false);
        }
        if changed.values().map(BTreeMap::len).sum::<usize>() > SECRETS_MAX {
            return Err(SecretError::TooMany);
        }
        write(&self.path, &changed)?;
        *kept = changed;
        Ok(true)
    }

    /// The names of an application's secrets, ascending.
    pub(crate) fn names(&self, record: &ApplicationRecord) -> Vec<String> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key_of(record)).map(|of| of.keys().cloned().collect()).unwrap_or_default()
    }

    fn value(&self, record: &ApplicationRecord, name: &Name) -> Option<Zeroizing<String>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&key_of(record))?.get(name.as_str()).cloned()
    }
}

/// As it stands in the file.
type Written = BTreeMap<String, BTreeMap<String, String>>;

fn read(path: &Path) -> Result<Kept, SecretError> {
    let failed = |source| SecretError::Io { operation: "reading", path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::new()),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.into() });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let written: Written = serde_json::from_str(&text)
        .map_err(|_what_stands_there| SecretError::Damaged { path: path.into() })?;
    let private = |of: BTreeMap<String, String>| {
        of.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect()
    };
    Ok(written.into_iter().map(|(key, of)| (key, private(of))).collect())
}

/// The new file replaces the old one as a whole.
fn write(path: &Path, kept: &Kept) -> Result<(), SecretError> {
    let failed = |source| SecretError::Io { operation: "writing", path: path.into(), source };
    let shown: BTreeMap<&String, BTreeMap<&String, &str>> = kept
        .iter()
        .map(|(key, of)| (key, of.iter().map(|(name, value)| (name, value.as_str())).collect()))
        .collect();
    let text = serde_json::to_vec_pretty(&shown).map_err(|error| failed(error.into()))?;
    let text = Zeroizing::new(text);
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {} // one that a crash has left
    }
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    let mut file = options.map_err(failed)?;
    file.write_all(&text).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// A failure that is for the node's log; no value is in it.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// This node's secrets, and the way to those of others.
pub(crate) struct Confidant {
    store: Arc<SecretStore>,
    blobs: Arc<BlobStore>,
    reader: Reader,
    network: Arc<dyn Network>,
}

impl std::fmt::Debug for Confidant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confidant").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What is needed to answer.
#[derive(Clone)]
struct Home {
    store: Arc<SecretStore>,
    blobs: Arc<BlobStore>,
    reader: Reader,
    endpoint: EndpointId,
}

impl Confidant {
    /// Begins to answer, and gives the way to ask.
    pub(crate) fn start(
        store: Arc<SecretStore>,
        blobs: Arc<BlobStore>,
        network: Arc<dyn Network>,
        reader: Reader,
    ) -> Self {
        let confidant = Self { store, blobs, reader, network };
        let server = Server {
            home: confidant.home(),
            places: Arc::new(Semaphore::new(ANSWERED_MAX)),
            runtime: tokio::runtime::Handle::current(),
        };
        confidant.network.subscribe(&[], &[Kind::Secrets], Arc::new(server));
        confidant
    }

    fn home(&self) -> Home {
        let endpoint = self.network.id();
        let (store, blobs) = (self.store.clone(), self.blobs.clone());
        Home { store, blobs, reader: self.reader.clone(), endpoint }
    }
}

/// Answers other nodes.
struct Server {
    home: Home,
    places: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

impl Inbound for Server {
    fn request(&self, from: EndpointId, _kind: Kind, body: Bytes, reply: Reply) {
        let Ok(execution) = <[u8; 32]>::try_from(&body[..]) else { return };
        // Dropping the reply says "nothing yet": the asker comes again while it has time.
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let home = self.home.clone();
        self.runtime.spawn_blocking(move || {
            let _place = place;
            let execution = Hash(execution);
            match given(&home, &from, &execution) {
                Ok(Some(secrets)) => reply.send(encoded(&secrets).into()),
                Ok(None) => tracing::debug!(%execution, %from, "no secrets for this node"),
                Err(error) => {
                    tracing::warn!(error = error.as_ref(), %execution, "secrets cannot be read");
                }
            }
        });
    }
}

/// The executor from whom something is expected, if it is the node at this endpoint.
fn executor_at(
    home: &Home,
    execution: &Execution,
    endpoint: &EndpointId,
) -> Result<Option<Address>, Failed> {
    let view = home.reader.view();
    for member in execution.committee() {
        if member.role != Role::Executor || member.state != MemberState::Assigned {
            continue;
        }
        let offer = query::offer(&view, &execution.service, &member.node)?;
        if offer.is_some_and(|offer| offer.endpoint == *endpoint) {
            return Ok(Some(member.node));
        }
    }
    Ok(None)
}

/// What the node at `from` is given for an execution: all secrets of its step, or none of them where one
/// is missing. `None` for whom nothing is given.
///
/// It is the executor that the ledger expects an answer of now; the step of the application, whose home
/// this is, names it; and the application's document, which its plan follows from, says which secrets.
fn given(home: &Home, from: &EndpointId, execution: &Hash) -> Result<Option<Secrets>, Failed> {
    let view = home.reader.view();
    let Some(found) = query::execution(&view, execution)? else { return Ok(None) };
    let Origin::Step(step) = &found.origin else { return Ok(None) };
    if found.phase != Phase::Working {
        return Ok(None);
    }
    let Some(executor) = executor_at(home, &found, from)? else { return Ok(None) };
    let Some(record) = query::application(&view, &step.application)? else { return Ok(None) };
    if record.terms.home != home.endpoint || record.terms.document != step.document {
        return Ok(None);
    }
    let document = home.blobs.get_of(&[record.id], &record.terms.document.hash)?;
    let Some(document) = document else { return Ok(None) };
    let compiled = Compiled::from_document(&document)?;
    let planned = record.terms.plan.steps.get(usize::from(step.step));
    let is_named = planned.is_some_and(|planned| planned.nodes.contains(&executor));
    if *compiled.plan() != record.terms.plan || !is_named {
        return Ok(None);
    }
    let names = compiled.parsed().secrets_of(step.step);
    let value = |name: &Name| Some((name.clone(), home.store.value(&record, name)?));
    let all: Option<Secrets> = names.into_iter().map(value).collect();
    Ok(Some(all.unwrap_or_default()))
}

fn encoded(secrets: &Secrets) -> Vec<u8> {
    let list: Vec<(&Name, &str)> = secrets.iter().collect();
    borsh::to_vec(&list).expect("writing to memory cannot fail")
}

fn decoded(bytes: &[u8]) -> Option<Secrets> {
    let list: Vec<(Name, String)> = borsh::from_slice(bytes).ok()?;
    Some(list.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect())
}

impl Vault for Confidant {
    fn secrets(&self, execution: Hash, from: EndpointId) -> BoxFuture<Option<Secrets>> {
        let home = self.home();
        if from == home.endpoint {
            return Box::pin(async move {
                let look = move || given(&home, &from, &execution);
                tokio::task::spawn_blocking(look).await.ok()?.ok()?
            });
        }
        let question = Bytes::copy_from_slice(&execution.0);
        let answer = self.network.request(from, Kind::Secrets, question);
        Box::pin(async move { decoded(&answer.await.ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use althing_types::{ApplicationTerms, BlobRef, Height, Plan, TimeMs, Trigger, Visibility};

    use super::*;

    fn application(owner: u8, alias: &str) -> ApplicationRecord {
        ApplicationRecord {
            id: Hash([owner; 32]),
            terms: ApplicationTerms {
                alias: alias.parse().unwrap(),
                document: BlobRef::of(b"{}"),
                home: EndpointId([1; 32]),
                visibility: Visibility::Public,
                plan: Plan {
                    trigger: Trigger { event: None, filter: vec![], conditional: false },
                    steps: vec![],
                    returns: vec![],
                },
            },
            owner: Address([owner; 20]),
            deployed: Height(1),
            deployed_at: TimeMs(1),
            depth: 0,
            paused: false,
            replaced_by: None,
            removed: false,
        }
    }

    fn value(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_secret_outlives_a_restart_and_a_new_version_and_is_no_other_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let store = SecretStore::open(&path).unwrap();
        store.set(&application(1, "acme/shop@1.0.0"), &name("smtp"), value("hunter2")).unwrap();
        let again = SecretStore::open(&path).unwrap();
        let of = |owner, alias: &str| again.value(&application(owner, alias), &name("smtp"));
        assert_eq!(of(1, "acme/shop@2.0.0"), Some(value("hunter2")));
        assert_eq!(of(2, "acme/shop@1.0.0"), None, "another owner's application of that name");
        assert_eq!(of(1, "acme/other@1.0.0"), None);
        assert_eq!(again.names(&application(1, "acme/shop@1.0.0")), ["smtp"]);
        assert!(again.forget(&application(1, "acme/shop@1.0.0"), &name("smtp")).unwrap());
        assert!(!again.forget(&application(1, "acme/shop@1.0.0"), &name("smtp")).unwrap());
        assert_eq!(
            SecretStore::open(&path).unwrap().names(&application(1, "acme/shop@1.0.0")),
            [""; 0]
        );
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_one_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let store = SecretStore::open(&path).unwrap();
        store.set(&application(1, "acme/shop@1.0.0"), &name("smtp"), value("hunter2")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SecretStore::open(&path), Err(SecretError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, r#"{"hunter2": 1}"#).unwrap();
        let error = SecretStore::open(&path).unwrap_err();
        assert!(matches!(error, SecretError::Damaged { .. }));
        assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_secret_or_one_too_many_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = SecretStore::open(&folder.path().join("secrets.json")).unwrap();
        let shop = application(1, "acme/shop@1.0.0");
        for bad in [String::new(), "x".repeat(VALUE_BYTES_MAX + 1)] {
            let refused = store.set(&shop, &name("smtp"), Zeroizing::new(bad));
            assert!(matches!(refused, Err(SecretError::Length)));
        }
        assert!(store.names(&shop).is_empty());
        let many: BTreeMap<String, Zeroizing<String>> =
            (0..SECRETS_MAX).map(|n| (format!("s{n}"), value("x"))).collect();
        store.change(|kept| kept.insert("full".to_owned(), many).is_none()).unwrap();
        let refused = store.set(&shop, &name("smtp"), value("x"));
        assert!(matches!(refused, Err(SecretError::TooMany)));
        assert!(store.names(&shop).is_empty());
    }

    #[test]
    fn an_answer_reads_back_and_shows_no_value_when_it_is_printed() {
        let secrets: Secrets = [(name("smtp"), value("hunter2"))].into_iter().collect();
        assert_eq!(decoded(&encoded(&secrets)), Some(secrets.clone()));
        assert_eq!(decoded(b"x"), None);
        assert_eq!(format!("{secrets:?}"), "{Name(\"smtp\")}");
    }
}
