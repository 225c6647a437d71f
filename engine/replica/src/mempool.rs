//! Transactions that wait for a block: pure, bounded, and fair between accounts.
//!
//! ```text
//!   insert ──► by account and nonce ──► reap: heads by arrival, each account in the order of nonces
//!                                └────► committed / expired / refused ──► gone
//! ```
//!
//! - **Admission.** The signature was verified before. A transaction must not be expired, its fee must
//!   be within its limit, and the account must be able to pay the fees of all its transactions here.
//!   Its nonce may be up to [`Limits::gap_max`] ahead of the account's, so that a client may send
//!   several without waiting; one that waits for a gap is not reaped.
//! - **No replacement.** The first transaction of an account with a nonce stays.
//! - **Eviction.** When the pool is full, a newcomer from an account with few transactions displaces the
//!   last transaction (highest nonce) of the account with the most, if that account has at least two
//!   more than the newcomer's; else the newcomer is refused. One account cannot crowd out the others,
//!   and nobody gains a place by having several tries.
//! - Units: heights in blocks, sizes in bytes.
//! - Errors: [`Refusal`]. It is local: another node may take the transaction.
//! - Invariants: the three indices hold the same transactions; the bounds hold after every call.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use althing_ledger::{Account, Authenticated, Invalid};
use althing_types::{Address, Amount, Hash, Height, Nonce, Parameters};

/// The bounds of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most transactions.
    pub transactions_max: usize,
    /// Most bytes of all transactions together.
    pub bytes_max: usize,
    /// Most transactions of one account.
    pub per_account_max: usize,
    /// How far a nonce may be ahead of the account's next.
    pub gap_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transactions_max: 50_000,
            bytes_max: 64 << 20,
            per_account_max: 2_048,
            gap_max: 2_048,
        }
    }
}

/// Why the pool did not take a transaction. The transaction itself may be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pool is full, and the account has its fair share.
    #[error("the pool is full of {transactions} transactions")]
    Full {
        /// How many there are.
        transactions: usize,
    },
    /// It is here already.
    #[error("the transaction is already waiting")]
    Duplicate,
    /// Its nonce is too far ahead.
    #[error("the nonce {found} is more than {most} ahead of the account's next, {next}")]
    TooFarAhead {
        /// The account's next.
        next: Nonce,
        /// The transaction's.
        found: Nonce,
        /// How far ahead it may be.
        most: u64,
    },
    /// Its nonce was used in a block.
    #[error("the nonce {found} is used, the account's next is {next}")]
    Stale {
        /// The account's next.
        next: Nonce,
        /// The transaction's.
        found: Nonce,
    },
    /// Another transaction with this nonce is waiting.
    #[error("another transaction of the account with nonce {nonce} is waiting")]
    NonceTaken {
        /// The nonce.
        nonce: Nonce,
    },
    /// The account has as many transactions here as it may.
    #[error("the account has {most} transactions waiting")]
    AccountFull {
        /// The limit.
        most: usize,
    },
}

impl Refusal {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "POL-0001",
            Self::Duplicate => "POL-0002",
            Self::TooFarAhead { .. } => "POL-0003",
            Self::Stale { .. } => "POL-0004",
            Self::NonceTaken { .. } => "POL-0005",
            Self::AccountFull { .. } => "POL-0006",
        }
    }
}

/// Why a transaction was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// No block could have it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// This pool has no place for it now.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

#[derive(Debug)]
struct Waiting {
    transaction: Arc<Authenticated>,
    arrival: u64,
}

#[derive(Debug)]
struct Queue {
    /// The account's next nonce, as of the last commit.
    next: Nonce,
    fees: Amount,
    waiting: BTreeMap<Nonce, Waiting>,
}

/// The pool.
#[derive(Debug)]
pub struct Mempool {
    limits: Limits,
    parameters: Parameters,
    queues: BTreeMap<Address, Queue>,
    by_hash: HashMap<Hash, Arc<Authenticated>>,
    by_expiry: BTreeSet<(Height, Hash)>,
    /// Accounts by how many transactions they have here.
    by_size: BTreeSet<(usize, Address)>,
    bytes: usize,
    arrivals: u64,
}

impl Mempool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits, parameters: Parameters) -> Self {
        Self {
            limits,
            parameters,
            queues: BTreeMap::new(),
            by_hash: HashMap::new(),
            by_expiry: BTreeSet::new(),
            by_size: BTreeSet::new(),
            bytes: 0,
            arrivals: 0,
        }
    }

    /// How many transactions wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// True if none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Bytes of all that wait.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The waiting transaction with this hash.
    #[must_use]
    pub fn find(&self, hash: &Hash) -> Option<&Arc<Authenticated>> {
        self.by_hash.get(hash)
    }

    /// The nonce that the account's next transaction should carry, those waiting here included.
    #[must_use]
    pub fn next_nonce(&self, address: &Address, account: &Account) -> Nonce {
        let Some(queue) = self.queues.get(address) else { return account.nonce };
        queue.waiting.keys().fold(
            account.nonce,
            |next, nonce| {
                if *nonce == next { nonce.next() } else { next }
            },
        )
    }

    /// Takes a transaction; `account` is its account in the last committed state, `height` the next.
    ///
    /// # Errors
    ///
    /// [`NotAdmitted`]; the pool is then as before.
    pub fn insert(
        &mut self,
        transaction: Arc<Authenticated>,
        account: &Account,
        height: Height,
    ) -> Result<(), NotAdmitted> {
        let hash = transaction.hash();
        if self.by_hash.contains_key(&hash) {
            return Err(Refusal::Duplicate.into());
        }
        self.check(&transaction, account, height)?;
        self.make_room(&transaction)?;
        let (address, nonce) = (transaction.account(), transaction.transaction().nonce);
        let fee = transaction.fee(&self.parameters);
        let queue = self.queues.entry(address).or_insert_with(|| Queue {
            next: account.nonce,
            fees: Amount::ZERO,
            waiting: BTreeMap::new(),
        });
        self.by_size.remove(&(queue.waiting.len(), address));
        queue.fees = queue.fees.saturating_add(fee);
        self.bytes = self.bytes.saturating_add(transaction.bytes());
        self.by_hash.insert(hash, Arc::clone(&transaction));
        self.by_expiry.insert((transaction.transaction().expires, hash));
        queue.waiting.insert(nonce, Waiting { transaction, arrival: self.arrivals });
        self.by_size.insert((queue.waiting.len(), address));
        self.arrivals = self.arrivals.saturating_add(1);
        Ok(())
    }

    fn check(
        &self,
        transaction: &Authenticated,
        account: &Account,
        height: Height,
    ) -> Result<(), NotAdmitted> {
        let fee = transaction.fee(&self.parameters);
        let asked = transaction.transaction();
        let (next, found) = (account.nonce, asked.nonce);
        if asked.expires < height {
            return Err(Invalid::Expired { expires: asked.expires }.into());
        }
        if fee > asked.fee_limit {
            return Err(Invalid::FeeAboveLimit { fee, limit: asked.fee_limit }.into());
        }
        if found < next {
            return Err(Refusal::Stale { next, found }.into());
        }
        let most = self.limits.gap_max;
        if next.until(found) > most {
            return Err(Refusal::TooFarAhead { next, found, most }.into());
        }
        let mut fees = fee;
        if let Some(queue) = self.queues.get(&transaction.account()) {
            if queue.waiting.contains_key(&found) {
                return Err(Refusal::NonceTaken { nonce: found }.into());
            }
            let most = self.limits.per_account_max;
            if queue.waiting.len() >= most {
                return Err(Refusal::AccountFull { most }.into());
            }
            fees = fees.saturating_add(queue.fees);
        }
        if fees > account.balance {
            return Err(Invalid::CannotPay { fee: fees, balance: account.balance }.into());
        }
        Ok(())
    }

    /// Evicts until the newcomer fits, or nothing at all.
    fn make_room(&mut self, newcomer: &Authenticated) -> Result<(), Refusal> {
        let full = Refusal::Full { transactions: self.len() };
        let own = self.queues.get(&newcomer.account()).map_or(0, |queue| queue.waiting.len());
        let fits = |transactions: usize, bytes: usize, limits: &Limits| {
            transactions < limits.transactions_max
                && bytes.saturating_add(newcomer.bytes()) <= limits.bytes_max
        };
        if fits(self.len(), self.bytes, &self.limits) {
            return Ok(());
        }
        // The largest account gives; more than its surplus over the newcomer's is not taken.
        let Some((size, victim)) = self.by_size.last().copied() else { return Err(full) };
        let Some(queue) = self.queues.get(&victim) else { return Err(full) };
        let surplus = size.saturating_sub(own.saturating_add(1));
        let (mut transactions, mut bytes, mut evicted) = (self.len(), self.bytes, Vec::new());
        for waiting in queue.waiting.values().rev().take(surplus) {
            if fits(transactions, bytes, &self.limits) {
                break;
            }
            transactions = transactions.saturating_sub(1);
            bytes = bytes.saturating_sub(waiting.transaction.bytes());
            evicted.push(waiting.transaction.hash());
        }
        if !fits(transactions, bytes, &self.limits) {
            return Err(full);
        }
        for hash in evicted {
            self.remove(&hash);
        }
        Ok(())
    }

    /// Transactions for the block of `height`, in an order in which they can be applied, at most
    /// `bytes_max` bytes together. They stay in the pool.
    #[must_use]
    pub fn reap(&self, height: Height, bytes_max: usize) -> Vec<Arc<Authenticated>> {
        let head = |queue: &Queue, nonce: Nonce| {
            let waiting = queue.waiting.get(&nonce)?;
            let expired = waiting.transaction.transaction().expires < height;
            (!expired).then_some(waiting.arrival)
        };
        let mut heads: BinaryHeap<Reverse<(u64, Address, Nonce)>> = self
            .queues
            .iter()
            .filter_map(|(address, queue)| {
                Some(Reverse((head(queue, queue.next)?, *address, queue.next)))
            })
            .collect();
        let (mut reaped, mut bytes) = (Vec::new(), 0_usize);
        while let Some(Reverse((_, address, nonce))) = heads.pop() {
            let Some(queue) = self.queues.get(&address) else { continue };
            let Some(waiting) = queue.waiting.get(&nonce) else { continue };
            let with = bytes.saturating_add(waiting.transaction.bytes());
            if with > bytes_max {
                continue; // the account's later ones depend on it; others may still fit
            }
            bytes = with;
            reaped.push(Arc::clone(&waiting.transaction));
            if let Some(arrival) = head(queue, nonce.next()) {
                heads.push(Reverse((arrival, address, nonce.next())));
            }
        }
        reaped
    }

    /// True if [`reap`](Self::reap) would find something: a block is worth making.
    #[must_use]
    pub fn has_ready(&self, height: Height) -> bool {
        self.queues.values().any(|queue| {
            let head = queue.waiting.get(&queue.next);
            head.is_some_and(|head| head.transaction.transaction().expires >= height)
        })
    }

    /// Forgets a transaction.
    pub fn remove(&mut self, hash: &Hash) {
        let Some(transaction) = self.by_hash.remove(hash) else { return };
        let (address, nonce) = (transaction.account(), transaction.transaction().nonce);
        let Some(queue) = self.queues.get_mut(&address) else { return };
        self.by_size.remove(&(queue.waiting.len(), address));
        if queue.waiting.remove(&nonce).is_some() {
            self.bytes = self.bytes.saturating_sub(transaction.bytes());
            queue.fees = queue.fees.saturating_sub(transaction.fee(&self.parameters));
            self.by_expiry.remove(&(transaction.transaction().expires, *hash));
        }
        if queue.waiting.is_empty() {
            self.queues.remove(&address);
        } else {
            self.by_size.insert((queue.waiting.len(), address));
        }
    }

    /// Forgets what a block has settled: its transactions, those that they made stale, and those
    /// that can no longer be in a block after `height`.
    pub fn committed<'a>(
        &mut self,
        height: Height,
        transactions: impl IntoIterator<Item = &'a Authenticated>,
    ) {
        for transaction in transactions {
            let (address, next) = (transaction.account(), transaction.transaction().nonce.next());
            let Some(queue) = self.queues.get_mut(&address) else { continue };
            queue.next = queue.next.max(next);
            let below = queue.waiting.range(..next);
            let stale: Vec<Hash> = below.map(|(_, waiting)| waiting.transaction.hash()).collect();
            for hash in stale {
                self.remove(&hash);
            }
        }
        while let Some((expires, hash)) = self.by_expiry.first().copied() {
            if expires > height {
                break;
            }
            self.remove(&hash);
        }
    }
}
