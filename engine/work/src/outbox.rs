//! The worker's operations on their way to the ledger, many under one signature.
//!
//! ```text
//!   push ──► queue ──batch, sign──► in flight (nonces in a row) ──receipt──► fates
//!              ▲                        │ expired: signed again under the same nonce
//!              └── nonce taken by another transaction of the account
//! ```
//!
//! Batches form by themselves: while the earlier ones are on their way, later operations gather.
//!
//! - Units: heights in blocks; waiting in milliseconds of the node's own clock, which only has to
//!   go forward.
//! - Errors: [`Full`]. An operation that the ledger rejects is reported and dropped.
//! - Invariants: transactions in flight have the nonces from the account's next one on, without a
//!   gap; of two versions under one nonce the older one has expired; an operation is in one place.
//! - A restart forgets everything here: what is still due follows from the state.

use std::collections::VecDeque;

use althing_ledger::{OperationResult, TransactionReceipt};
use althing_types::{
    Address, Amount, ChainId, Hash, Height, Nonce, OPERATIONS_MAX, Operation, Parameters,
    SignedTransaction, Transaction, canonical,
};

use crate::Fate;
use crate::port::TransactionSigner;

/// Canonical bytes of a signed transaction without its operations, rounded up.
const ENVELOPE_BYTES: usize = 256;

/// Bounds of an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// The chain.
    pub chain: ChainId,
    /// Most operations in a transaction.
    pub operations_max: usize,
    /// Most bytes of a transaction with several operations.
    pub bytes_max: usize,
    /// Most transactions in flight.
    pub in_flight_max: usize,
    /// The same while a block is open for them: they are not in flight for long.
    pub hurried_max: usize,
    /// Most operations of each of these: the block goes on with the first while the next ones are carried out.
    pub hurried_operations_max: usize,
    /// Most operations in line.
    pub queue_max: usize,
    /// How many blocks a transaction has to get in.
    pub lifetime: u64,
    /// After how long a transaction is sent again, in milliseconds.
    pub resend_ms: u64,
    /// How long operations gather while others are in flight, in milliseconds.
    pub gather_ms: u64,
    /// The most that a transaction may cost.
    pub fee_limit: Amount,
}

impl OutboxConfig {
    /// For a chain with these parameters.
    #[must_use]
    pub fn new(chain: ChainId, parameters: &Parameters) -> Self {
        let bytes_max = 32 << 10;
        // Twice the bytes: a single operation may be longer than a batch.
        let for_bytes = parameters.fee_per_byte.checked_mul(2 * (32 << 10)).unwrap_or_default();
        Self {
            chain,
            operations_max: 256,
            bytes_max,
            in_flight_max: 4,
            hurried_max: 24,
            hurried_operations_max: 64,
            queue_max: 16_384,
            lifetime: 64,
            resend_ms: 2_000,
            gather_ms: 5,
            fee_limit: parameters.fee_base.saturating_add(for_bytes),
        }
    }
}

/// The line is full; the operation comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox is full")]
pub struct Full(pub Box<Operation>);

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    config: OutboxConfig,
    account: Address,
    height: Height,
    /// The account's next nonce after the last block.
    nonce: Nonce,
    queue: VecDeque<Waiting>,
    in_flight: VecDeque<InFlight>,
    /// A block is open for what is in line.
    hurried: bool,
}

#[derive(Debug)]
struct Waiting {
    operation: Operation,
    bytes: usize,
    since_ms: u64,
}

#[derive(Debug)]
struct InFlight {
    hash: Hash,
    signed: SignedTransaction,
    sent_ms: u64,
}

impl Outbox {
    /// Empty, at the height and the account's nonce of the last block.
    #[must_use]
    pub fn new(config: OutboxConfig, account: Address, height: Height, nonce: Nonce) -> Self {
        let (queue, in_flight) = (VecDeque::new(), VecDeque::new());
        Self { config, account, height, nonce, queue, in_flight, hurried: false }
    }

    /// Puts an operation in line.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room.
    pub fn push(&mut self, operation: Operation, now_ms: u64) -> Result<(), Full> {
        if self.queue.len() >= self.config.queue_max {
            return Err(Full(Box::new(operation)));
        }
        let bytes = canonical::encode(&operation).len();
        self.queue.push_back(Waiting { operation, bytes, since_ms: now_ms });
        Ok(())
    }

    /// Lets the next [`outgoing`](Self::outgoing) have all that is in line: a block is open for it.
    pub const fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Takes operations on an execution that has ended out of the line.
    pub fn forget(&mut self, execution: &Hash) {
        self.queue.retain(|waiting| concerned(&waiting.operation) != Some(*execution));
    }

    /// Takes in a block, and tells what became of operations.
    ///
    /// `nonce` is the account's next one if the block changed it; `receipts` are those of the
    /// account's transactions.
    pub fn committed(
        &mut self,
        height: Height,
        nonce: Option<Nonce>,
        receipts: &[TransactionReceipt],
        now_ms: u64,
    ) -> Vec<(Operation, Fate)> {
        self.height = self.height.max(height);
        self.nonce = nonce.map_or(self.nonce, |nonce| self.nonce.max(nonce));
        let mut fates = Vec::new();
        let mut displaced = Vec::new();
        for flown in self.landed() {
            let receipt = receipts.iter().find(|receipt| receipt.transaction == flown.hash);
            let operations = flown.signed.transaction.operations;
            match receipt {
                Some(receipt) => {
                    let results = receipt.results.iter().map(fate);
                    fates.extend(operations.into_iter().zip(results));
                }
                None => displaced.extend(operations),
            }
        }
        for operation in displaced.into_iter().rev() {
            let bytes = canonical::encode(&operation).len();
            self.queue.push_front(Waiting { operation, bytes, since_ms: now_ms });
        }
        fates
    }

    /// Takes in a height whose blocks were missed: what was in flight and is no longer possible may
    /// have got in or not.
    pub fn caught_up(&mut self, height: Height, nonce: Nonce) -> Vec<(Operation, Fate)> {
        self.height = self.height.max(height);
        self.nonce = self.nonce.max(nonce);
        let landed = self.landed();
        landed
            .into_iter()
            .flat_map(|flown| flown.signed.transaction.operations)
            .map(|operation| (operation, Fate::Lost))
            .collect()
    }

    /// Transactions whose nonce has been used.
    fn landed(&mut self) -> Vec<InFlight> {
        let next = self.nonce;
        let used = self.in_flight.iter().take_while(|f| f.signed.transaction.nonce < next).count();
        self.in_flight.drain(..used).collect()
    }

    /// The transactions to send now: new ones, and old ones that have to be sent or signed again.
    pub fn outgoing(
        &mut self,
        now_ms: u64,
        signer: &dyn TransactionSigner,
    ) -> Vec<SignedTransaction> {
        let mut to_send = Vec::new();
        let (height, expires) = (self.height, self.height.after(self.config.lifetime));
        for flown in &mut self.in_flight {
            let expired = flown.signed.transaction.expires <= height;
            if expired {
                let transaction = Transaction { expires, ..flown.signed.transaction.clone() };
                flown.signed = signer.sign(transaction);
                flown.hash = flown.signed.hash();
            }
            if expired || now_ms.saturating_sub(flown.sent_ms) >= self.config.resend_ms {
                flown.sent_ms = now_ms;
                to_send.push(flown.signed.clone());
            }
        }
        while self.may_form(now_ms) {
            let signed = signer.sign(self.form(expires));
            to_send.push(signed.clone());
            self.in_flight.push_back(InFlight { hash: signed.hash(), signed, sent_ms: now_ms });
        }
        self.hurried = false;
        to_send
    }

    /// How long until [`outgoing`](Self::outgoing) may have something, in milliseconds; `None` if only
    /// a block or a push can bring it.
    #[must_use]
    pub fn wait_ms(&self, now_ms: u64) -> Option<u64> {
        let resend = self.in_flight.iter().map(|f| f.sent_ms.saturating_add(self.config.resend_ms));
        let gather = self
            .queue
            .front()
            .filter(|_| self.in_flight.len() < self.config.in_flight_max)
            .map(|waiting| waiting.since_ms.saturating_add(self.config.gather_ms));
        resend.chain(gather).min().map(|at| at.saturating_sub(now_ms))
    }

    /// How many operations are in line and in flight.
    #[must_use]
    pub fn pending(&self) -> usize {
        let flown = self.in_flight.iter().map(|f| f.signed.transaction.operations.len());
        self.queue.len() + flown.sum::<usize>()
    }

    fn may_form(&self, now_ms: u64) -> bool {
        let Some(first) = self.queue.front() else { return false };
        let in_flight = self.in_flight.len();
        if self.hurried {
            return in_flight < self.config.hurried_max;
        }
        in_flight < self.config.in_flight_max
            && (in_flight == 0
                || self.queue.len() >= self.config.operations_max
                || now_ms.saturating_sub(first.since_ms) >= self.config.gather_ms)
    }

    fn form(&mut self, expires: Height) -> Transaction {
        let Self { config, hurried, .. } = &*self;
        let most = if *hurried { config.hurried_operations_max } else { config.operations_max };
        let most = most.min(OPERATIONS_MAX);
        let mut operations = Vec::new();
        let mut bytes = ENVELOPE_BYTES;
        while let Some(waiting) = self.queue.front()
            && operations.len() < most
            && (operations.is_empty() || bytes + waiting.bytes <= self.config.bytes_max)
        {
            bytes += waiting.bytes;
            operations.extend(self.queue.pop_front().map(|waiting| waiting.operation));
        }
        let ahead = u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX);
        Transaction {
            chain: self.config.chain,
            account: self.account,
            nonce: self.nonce.after(ahead),
            expires,
            atomic: false,
            fee_limit: self.config.fee_limit,
            operations,
        }
    }
}

fn fate(result: &OperationResult) -> Fate {
    match result {
        OperationResult::Done | OperationResult::Created(_) => Fate::Done,
        OperationResult::Rejected(rejection) => Fate::Rejected(*rejection),
    }
}

/// The execution that a worker's operation is about.
fn concerned(operation: &Operation) -> Option<Hash> {
    match operation {
        Operation::Seal(seal) => Some(seal.execution),
        Operation::Reveal(reveal) => Some(reveal.execution),
        Operation::Answer(answer) => Some(answer.execution),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
