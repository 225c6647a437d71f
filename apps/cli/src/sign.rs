//! From operations to a receipt: a transaction is built, signed, submitted and waited for.
//!
//! ```text
//!   operations ─► nonce, expiry, fee ─► signature ─► node ─► block ─► results
//!                 └── again while the nonce is taken or the node is busy
//! ```
//!
//! - Units: tokens; heights.
//! - Errors: a rejected operation becomes a [`Failure`] with the ledger's code.
//! - Invariants: the fee limit is exactly the fee, and never more than the person allows; a
//!   transaction is never signed twice while the first may still be included, unless the node has
//!   refused it.

use std::time::{Duration, Instant};

use althing_api::client::{Client, ClientError};
use althing_api::wire::{OperationResult, TransactionReceipt};
use althing_keys::AccountKey;
use althing_types::{
    Address, Amount, ChainId, Hash, Height, Nonce, Operation, SignedTransaction, Transaction,
};
use anyhow::{Context as _, Result};
use clap::Args;

use crate::failure::Failure;
use crate::patience::{Patience, pause};

/// A transaction is worth nothing after so many blocks: minutes on a fast chain, hours on a slow one.
const HEIGHTS: u64 = 5_000;
/// How often a transaction is made anew because its nonce was taken.
const TRIES: u32 = 8;
/// How long to wait for a transaction to be in a block.
const INCLUSION: Duration = Duration::from_secs(120);
/// How long one question waits.
const POLL: Duration = Duration::from_secs(5);
/// Codes of a nonce that somebody else was faster to use.
const NONCE_CODES: [&str; 3] = ["TXN-0006", "POL-0004", "POL-0005"];

/// Options of commands that sign.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Fee {
    /// The most that a transaction itself may cost, in tokens.
    #[arg(long, default_value = "1", value_name = "TOKENS")]
    pub(crate) fee_limit: Amount,
}

impl Fee {
    /// What holds where nobody is asked.
    pub(crate) const DEFAULT: Self = Self { fee_limit: Amount::from_tokens(1) };
}

/// Signs for one account, through one node.
#[derive(Debug)]
pub(crate) struct Signer {
    client: Client,
    key: AccountKey,
    fee_limit: Amount,
    chain: ChainId,
    fee_base: Amount,
    fee_per_byte: Amount,
}

/// A transaction on its way.
#[derive(Debug)]
pub(crate) struct Submitted {
    hash: Hash,
    signed: SignedTransaction,
}

impl Signer {
    /// Asks the node what it needs to know.
    pub(crate) fn new(client: &Client, key: AccountKey, fee: Fee) -> Result<Self> {
        let genesis = Patience::short().ask(|| client.genesis())?;
        Ok(Self {
            client: client.clone(),
            key,
            fee_limit: fee.fee_limit,
            chain: ChainId(genesis.chain),
            fee_base: genesis.parameters.fee_base.0,
            fee_per_byte: genesis.parameters.fee_per_byte.0,
        })
    }

    /// Whose account it is.
    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// Carries out one operation, and fails if the ledger rejects it.
    pub(crate) fn carry_out(&self, operation: Operation) -> Result<TransactionReceipt> {
        let submitted = self.submit(vec![operation], true)?;
        let receipt = self.wait(&submitted)?;
        accepted(&receipt)?;
        Ok(receipt)
    }

    /// Signs and submits; does not wait for a block.
    pub(crate) fn submit(&self, operations: Vec<Operation>, atomic: bool) -> Result<Submitted> {
        let patience = Patience::short();
        let mut tries = 0;
        loop {
            let signed = self.signed(operations.clone(), atomic)?;
            match patience.ask(|| self.client.submit(&signed)) {
                Ok(hash) => return Ok(Submitted { hash, signed }),
                Err(error) if NONCE_CODES.contains(&error.code()) && tries < TRIES => tries += 1,
                Err(error) => return Err(error).context("the node does not take the transaction"),
            }
        }
    }

    fn signed(&self, operations: Vec<Operation>, atomic: bool) -> Result<SignedTransaction> {
        let address = self.address();
        let account = Patience::short().ask(|| self.client.account(&address))?;
        let height = Patience::short().ask(|| self.client.status())?.height;
        let transaction = Transaction {
            chain: self.chain,
            account: address,
            nonce: Nonce(account.next_nonce),
            expires: Height(height).after(HEIGHTS),
            atomic,
            fee_limit: Amount::ZERO,
            operations,
        };
        // The length does not depend on the limit, nor on what the signature says.
        let draft = self.key.sign_transaction(transaction.clone()).encode().len();
        let fee = self.fee(draft);
        if fee > self.fee_limit {
            let message =
                format!("the transaction would cost {fee} tokens, the limit is {}", self.fee_limit);
            return Err(Failure::new("CLI-0011", message, "allow more with --fee-limit").into());
        }
        Ok(self.key.sign_transaction(Transaction { fee_limit: fee, ..transaction }))
    }

    fn fee(&self, bytes: usize) -> Amount {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let for_bytes = self.fee_per_byte.checked_mul(bytes).unwrap_or_default();
        self.fee_base.saturating_add(for_bytes)
    }

    /// Waits until the transaction is in a block.
    pub(crate) fn wait(&self, submitted: &Submitted) -> Result<TransactionReceipt> {
        let deadline = Instant::now() + INCLUSION;
        let patience = Patience::following(deadline);
        loop {
            match patience.ask(|| self.client.transaction(&submitted.hash, POLL)) {
                Ok(receipt) => return Ok(receipt),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
            let height = patience.ask(|| self.client.status())?.height;
            if height > submitted.signed.transaction.expires.0 || Instant::now() > deadline {
                return Err(not_included(submitted));
            }
            // A node that was started again has forgotten it; one that has it says so.
            match self.client.submit(&submitted.signed) {
                Ok(_) | Err(ClientError::Problem(_)) => {}
                Err(error) => tracing::debug!(%error, "the transaction could not be sent again"),
            }
            pause(Duration::from_millis(20));
        }
    }
}

fn not_included(submitted: &Submitted) -> anyhow::Error {
    let message = format!("the transaction {} did not get into a block", submitted.hash);
    let hint = "see with `althing chain status` whether the chain goes on; the transaction is void \
                after its last height";
    Failure::new("CLI-0012", message, hint).into()
}

/// Fails with the first rejection.
pub(crate) fn accepted(receipt: &TransactionReceipt) -> Result<()> {
    match receipt.results.iter().find_map(rejection) {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

/// A rejected operation as a failure.
pub(crate) fn rejection(result: &OperationResult) -> Option<Failure> {
    match result {
        OperationResult::Done | OperationResult::Created { .. } => None,
        OperationResult::Rejected { code, detail } => {
            let message = format!("the ledger rejected the operation: {detail}");
            Some(Failure::new(code.clone(), message, hint(code)))
        }
    }
}

/// What can be done about a rejection.
fn hint(code: &str) -> String {
    let known = match code {
        "LED-0001" => "`althing account balance` shows what the account owns",
        "LED-0005" => "bond more: `bond_min` in the genesis is the least",
        "LED-0010" | "LED-0011" => {
            "`althing stake status` shows whether and until when it is jailed"
        }
        "LED-0015" => "publish under a namespace of your own: change `service` in service.yml",
        "LED-0016" => "raise the version in service.yml and publish again",
        "LED-0019" => "`althing service list` shows what is published",
        "LED-0020" => "`althing service show` lists the tasks of a service",
        "LED-0021" => "stake more with --stake",
        "LED-0022" => {
            "a term is at least as long as what is left of the present one, at most ten years"
        }
        "LED-0024" => "offer the service first: `althing service offer`",
        "LED-0028" => "leave --quorum away for the majority",
        _ => return format!("docs/errors/{code}.md says what to do"),
    };
    known.to_owned()
}

/// One line about a transaction that was carried out.
pub(crate) fn told(receipt: &TransactionReceipt) -> String {
    format!("done in block {}, for a fee of {} tokens", receipt.height, receipt.fee)
}

#[cfg(test)]
mod tests {
    use althing_api::wire::Text;

    use super::*;

    fn receipt(results: Vec<OperationResult>) -> TransactionReceipt {
        TransactionReceipt {
            transaction: Text(Hash([1; 32])),
            height: 9,
            account: Text(Address([2; 20])),
            nonce: 0,
            fee: Text(Amount::from_base_units(1_240)),
            results,
        }
    }

    #[test]
    fn a_rejection_keeps_the_ledgers_code() {
        let rejected = OperationResult::Rejected {
            code: "LED-0001".to_owned(),
            detail: "the account has 1, 2 is needed".to_owned(),
        };
        let error = accepted(&receipt(vec![OperationResult::Done, rejected])).unwrap_err();
        let text = crate::failure::render(&error);
        assert_eq!(
            text,
            "error[LED-0001]: the ledger rejected the operation: the account has 1, 2 is needed\n  \
             hint: `althing account balance` shows what the account owns\n"
        );
    }

    #[test]
    fn what_was_done_is_told_in_one_line() {
        let receipt = receipt(vec![OperationResult::Done]);
        assert!(accepted(&receipt).is_ok());
        assert_eq!(told(&receipt), "done in block 9, for a fee of 0.00124 tokens");
    }
}
