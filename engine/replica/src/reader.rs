//! Reading without the replica: what the API and the worker hold on to.
//!
//! ```text
//!   Replica ──commit──► Head (tip, header, validators, view) ◄──clone── Reader ◄── API, worker
//! ```
//!
//! - Errors: [`ReadError`]; whoever gets one should tell the node, which stops.
//! - Invariant: a [`Head`] is one height: header, set and view belong together, whatever is
//!   committed meanwhile. A reader never waits for a commit, and a commit never for a reader.

use std::sync::{Arc, PoisonError, RwLock};

use althing_ledger::{
    Authenticated, EventRecord, Execution, Invalid, Receipt, Roster, RunRecord, query,
};
use althing_state::merkle::Range;
use althing_types::{
    BLOCK_BYTES_MAX, Block, Certificate, Genesis, Hash, Header, Height, Malformed,
    SignedTransaction, TimeMs, ValidatorSet, canonical,
};

use crate::rules::{Archived, Rules, Subject};
use crate::store::{Archive, Store, StoreError, Tip};
use crate::view::CommittedView;

/// Largest record of the archive that is decoded: a block's list of receipts.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Largest certificate in bytes.
const CERTIFICATE_BYTES_MAX: usize = 1 << 20;

/// The last committed height.
#[derive(Clone, Debug)]
pub struct Head {
    /// Where the chain ends.
    pub tip: Tip,
    /// The tip's header; `None` at height zero.
    pub header: Option<Header>,
    /// Who decides the next height.
    pub validators: ValidatorSet,
    /// The state after the tip.
    pub view: CommittedView,
    /// The ids of all blocks, the tip's included; the genesis' hash is the first.
    pub(crate) headers: Range,
    /// How often the validator set has changed.
    pub(crate) set_changes: u32,
    /// The time of the genesis.
    pub(crate) start: TimeMs,
}

impl Head {
    /// The height to decide.
    #[must_use]
    pub const fn next_height(&self) -> Height {
        self.tip.height.next()
    }

    /// The tip's time.
    #[must_use]
    pub fn time(&self) -> TimeMs {
        self.header.as_ref().map_or(self.start, |header| header.time)
    }

    /// The tip's beacon; before the first block, the genesis' hash.
    #[must_use]
    pub fn beacon(&self) -> Hash {
        self.header.as_ref().map_or(self.tip.block, |header| header.beacon)
    }
}

/// Why something could not be read. The store is at fault, not the question.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store failed.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// The state is not what was written.
    #[error("the state cannot be trusted")]
    State(#[from] althing_state::Fault),
    /// A record is not what was written.
    #[error("a stored record cannot be decoded")]
    Record(#[from] Malformed),
    /// Something that the chain refers to is missing.
    #[error("the store lacks {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
}

#[derive(Debug)]
struct Shared {
    rules: Arc<Rules>,
    head: RwLock<Arc<Head>>,
}

/// A handle to what is committed. Cheap to clone, never stale.
#[derive(Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(store: Arc<dyn Store>, rules: Arc<Rules>, head: Arc<Head>) -> Self {
        Self { store, shared: Arc::new(Shared { rules, head: RwLock::new(head) }) }
    }

    pub(crate) fn publish(&self, head: Arc<Head>) {
        *self.shared.head.write().unwrap_or_else(PoisonError::into_inner) = head;
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The last committed height, as a whole.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        // A pointer is assigned or not: a panic cannot leave it half written.
        Arc::clone(&self.shared.head.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state at the last committed height.
    #[must_use]
    pub fn view(&self) -> CommittedView {
        self.head().view.clone()
    }

    /// The start of the chain.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.shared.rules.genesis
    }

    /// The hash of the start of the chain.
    #[must_use]
    pub fn genesis_hash(&self) -> Hash {
        self.shared.rules.genesis_hash
    }

    /// Decodes a transaction and verifies its signature: the expensive part of admission, outside of
    /// any lock. The replica takes the result.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for everything that can be told without the state.
    pub fn authenticate(&self, bytes: &[u8]) -> Result<Arc<Authenticated>, Invalid> {
        self.shared.rules.authenticate(bytes)
    }

    /// As [`authenticate`](Self::authenticate), of a transaction that this node has just signed, and its
    /// canonical bytes.
    ///
    /// # Errors
    ///
    /// As [`authenticate`](Self::authenticate).
    pub fn signed_here(
        &self,
        signed: SignedTransaction,
        bytes: &[u8],
    ) -> Result<Arc<Authenticated>, Invalid> {
        self.shared.rules.signed_here(signed, bytes)
    }

    /// A decided block and its certificate; `None` above the tip, and for height zero.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. So for every method below.
    pub fn decided(&self, height: Height) -> Result<Option<(Block, Certificate)>, ReadError> {
        let Some(decided) = self.store.decided(height)? else { return Ok(None) };
        Ok(Some((decode_block(&decided.block)?, decode_certificate(&decided.certificate)?)))
    }

    /// The receipt of a transaction, or of an execution, event or run that has ended, and where it is.
    ///
    /// # Errors
    ///
    /// As [`decided`](Self::decided).
    pub fn archived(&self, subject: &Subject) -> Result<Option<Archived>, ReadError> {
        let (archive, id) = match subject {
            Subject::Transaction(hash) => (Archive::Transaction, hash),
            Subject::Execution(id) => (Archive::Execution, id),
            Subject::Event(key) => (Archive::Event, key),
            Subject::Run(id) => (Archive::Run, id),
        };
        let Some(bytes) = self.store.archived(archive, id)? else { return Ok(None) };
        Ok(Some(canonical::decode(&bytes, RECORD_BYTES_MAX, "archived receipt")?))
    }

    /// An execution, open or settled.
    ///
    /// # Errors
    ///
    /// As [`decided`](Self::decided).
    pub fn execution(&self, id: &Hash) -> Result<Option<Execution>, ReadError> {
        if let Some(open) = query::execution(&self.view(), id)? {
            return Ok(Some(open));
        }
        // It may have settled between the two reads; the archive then has it.
        let Some(archived) = self.archived(&Subject::Execution(*id))? else { return Ok(None) };
        match canonical::decode(&archived.leaf, RECORD_BYTES_MAX, "receipt")? {
            Receipt::Execution(execution) => Ok(Some(execution)),
            Receipt::Transaction(_) | Receipt::Event(_) | Receipt::Run(_) => {
                Err(ReadError::Missing { what: "the execution's record" })
            }
        }
    }

    /// An event, while its window lasts or settled; of an id that expired and came again, the latest.
    ///
    /// # Errors
    ///
    /// As [`decided`](Self::decided).
    pub fn event(&self, key: &Hash) -> Result<Option<EventRecord>, ReadError> {
        if let Some(open) = query::event(&self.view(), key)? {
            return Ok(Some(open));
        }
        // It may have ended between the two reads; the archive then has it.
        let Some(archived) = self.archived(&Subject::Event(*key))? else { return Ok(None) };
        match canonical::decode(&archived.leaf, RECORD_BYTES_MAX, "receipt")? {
            Receipt::Event(event) => Ok(Some(event)),
            Receipt::Transaction(_) | Receipt::Execution(_) | Receipt::Run(_) => {
                Err(ReadError::Missing { what: "the event's record" })
            }
        }
    }

    /// A run, open or ended.
    ///
    /// # Errors
    ///
    /// As [`decided`](Self::decided).
    pub fn run(&self, id: &Hash) -> Result<Option<RunRecord>, ReadError> {
        if let Some(open) = query::run(&self.view(), id)? {
            return Ok(Some(open));
        }
        // It may have ended between the two reads; the archive then has it.
        let Some(archived) = self.archived(&Subject::Run(*id))? else { return Ok(None) };
        match canonical::decode(&archived.leaf, RECORD_BYTES_MAX, "receipt")? {
            Receipt::Run(run) => Ok(Some(run)),
            Receipt::Transaction(_) | Receipt::Execution(_) | Receipt::Event(_) => {
                Err(ReadError::Missing { what: "the run's record" })
            }
        }
    }

    /// The candidates that a committee was drawn from, by their hash.
    ///
    /// # Errors
    ///
    /// As [`decided`](Self::decided).
    pub fn roster(&self, hash: &Hash) -> Result<Option<Roster>, ReadError> {
        let Some(bytes) = self.store.archived(Archive::Roster, hash)? else { return Ok(None) };
        Ok(Some(canonical::decode(&bytes, RECORD_BYTES_MAX, "roster")?))
    }

    /// What the receipts of a block are about, in order.
    ///
    /// # Errors
    ///
    /// As [`decided`](Self::decided).
    pub fn subjects(&self, block: &Hash) -> Result<Option<Vec<Subject>>, ReadError> {
        let Some(bytes) = self.store.archived(Archive::Receipts, block)? else { return Ok(None) };
        Ok(Some(canonical::decode(&bytes, RECORD_BYTES_MAX, "list of receipts")?))
    }
}

pub(crate) fn decode_block(bytes: &[u8]) -> Result<Block, Malformed> {
    debug_assert!(bytes.len() <= BLOCK_BYTES_MAX, "blocks are bounded when they are received");
    Block::decode(bytes)
}

pub(crate) fn decode_certificate(bytes: &[u8]) -> Result<Certificate, Malformed> {
    canonical::decode(bytes, CERTIFICATE_BYTES_MAX, "certificate")
}

pub(crate) fn decode_record<T>(bytes: &[u8], what: &'static str) -> Result<T, Malformed>
where
    T: borsh::BorshSerialize + borsh::BorshDeserialize,
{
    canonical::decode(bytes, RECORD_BYTES_MAX, what)
}
