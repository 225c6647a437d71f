//! Transactions whose signature was verified a short while ago, so that none is verified twice when
//! gossip and a block bring it one after the other.
//!
//! ```text
//!   gossip, API ──► authenticate ──┐             ┌── known: the one verified before
//!                                  ├──► find ────┤
//!   block ────────► check ─────────┘             └── unknown: recover the signer, keep
//! ```
//!
//! A transaction's hash covers its signature: what has the same hash has the same signer.
//!
//! - Invariants: only what was verified is in here; two generations, each bounded by number and bytes;
//!   whatever is forgotten is verified again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use althing_ledger::Authenticated;
use althing_types::Hash;

/// Most transactions of a generation.
const TRANSACTIONS_MAX: usize = 16_384;
/// Most bytes of a generation, encoded.
const BYTES_MAX: usize = 8 << 20;

/// The transactions that were verified lately.
#[derive(Debug, Default)]
pub(crate) struct Verified(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Hash, Arc<Authenticated>>,
    young_bytes: usize,
    old: HashMap<Hash, Arc<Authenticated>>,
}

impl Verified {
    /// The transaction with this hash, if it was verified lately.
    pub(crate) fn find(&self, hash: &Hash) -> Option<Arc<Authenticated>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.young.get(hash).or_else(|| known.old.get(hash)).cloned()
    }

    /// Keeps a transaction for a while.
    pub(crate) fn keep(&self, transaction: &Arc<Authenticated>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = known.young_bytes.saturating_add(transaction.bytes());
        if known.young.len() >= TRANSACTIONS_MAX || bytes > BYTES_MAX {
            known.old = std::mem::take(&mut known.young);
            known.young_bytes = 0;
        }
        if known.young.insert(transaction.hash(), Arc::clone(transaction)).is_none() {
            known.young_bytes = known.young_bytes.saturating_add(transaction.bytes());
        }
    }
}
