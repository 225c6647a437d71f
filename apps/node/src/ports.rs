//! The node's keys and its chain, as the engines' ports want them.

use std::sync::Arc;

use althing_consensus_malachite::ConsensusSigner;
use althing_keys::{AccountKey, BeaconSecret};
use althing_replica::{BeaconSigner, CommittedView, Reader};
use althing_types::{
    Address, BeaconKey, BeaconProof, Hash, PublicKey, SignedTransaction, Transaction, VoteSignature,
};
use althing_work::port::{LedgerAccess, Newest, PortError, Submit, TransactionSigner};

use crate::chain::{Chain, is_known};

/// The node's account: signs votes and the worker's transactions.
#[derive(Debug)]
pub(crate) struct Account(pub(crate) AccountKey);

impl ConsensusSigner for Account {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, digest: &Hash) -> VoteSignature {
        self.0.sign_vote(digest)
    }
}

impl TransactionSigner for Account {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, transaction: Transaction) -> SignedTransaction {
        self.0.sign_transaction(transaction)
    }
}

/// The node's part of the beacon.
pub(crate) struct Beacon(pub(crate) BeaconSecret);

impl BeaconSigner for Beacon {
    fn key(&self) -> BeaconKey {
        self.0.key()
    }

    fn prove(&self, input: &Hash) -> (Hash, BeaconProof) {
        self.0.evaluate(input)
    }
}

/// The committed state, for the worker.
pub(crate) struct State(pub(crate) Reader);

impl LedgerAccess for State {
    type Snapshot = CommittedView;

    fn newest(&self) -> Result<Newest<CommittedView>, PortError> {
        let head = self.0.head();
        Ok(Newest { state: head.view.clone(), height: head.tip.height, time: head.time() })
    }
}

/// The worker's way to the mempool.
pub(crate) struct Mailbox(pub(crate) Arc<Chain>);

impl Submit for Mailbox {
    fn submit(&self, transaction: SignedTransaction) -> Result<(), PortError> {
        let submit = || self.0.submit_own(transaction);
        // The replica may be in the middle of a commit; other tasks go on meanwhile.
        let submitted =
            if self.0.is_free() { submit() } else { tokio::task::block_in_place(submit) };
        match submitted {
            Ok(_) => Ok(()),
            Err(error) if is_known(&error) => Ok(()),
            Err(error) => Err(PortError {
                operation: "handing a transaction to the mempool",
                source: Box::new(error),
            }),
        }
    }
}
