//! What a block leaves for ever: the leaves under its receipts root.

use alloc::vec::Vec;

use althing_types::{Address, Amount, Hash, Nonce, canonical};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{EventRecord, Execution, Rejection, RunRecord};

/// A leaf of the receipts tree: transactions in their order, executions and events as they end.
#[expect(clippy::large_enum_variant, reason = "a block's list of them is short and short-lived")]
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Receipt {
    /// What became of a transaction.
    Transaction(TransactionReceipt),
    /// The final record of an execution.
    Execution(Execution),
    /// The final record of an event.
    Event(EventRecord),
    /// The final record of a run.
    Run(RunRecord),
}

impl Receipt {
    /// The leaf's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TransactionReceipt {
    /// The transaction.
    pub transaction: Hash,
    /// Its account.
    pub account: Address,
    /// Its nonce.
    pub nonce: Nonce,
    /// What it cost, whatever became of its operations.
    pub fee: Amount,
    /// One for each operation.
    pub results: Vec<OperationResult>,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OperationResult {
    /// It was carried out.
    Done,
    /// It was carried out and created something with this id: a service, an execution or an event.
    Created(Hash),
    /// It changed nothing.
    Rejected(Rejection),
}
