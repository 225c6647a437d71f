//! A replica that decides alone: chains of any content, made as fast as they can be executed.

use std::sync::Arc;

use althing_keys::{AccountKey, BeaconSecret, Secp256k1};
use althing_ledger::{OperationResult, Receipt, query};
use althing_replica::application::Application as _;
use althing_replica::store::Store;
use althing_replica::{BeaconSigner, Config, Ports, Reader, Replica, Subject};
use althing_types::{
    BeaconKey, BeaconProof, BlockId, Certificate, CommitSignature, Eip712, Genesis, Hash, Height,
    Operation, Round, Transaction, VoteKind, canonical,
};
use anyhow::{Context as _, Result, bail};

/// Most rounds that are tried until it is the replica's turn.
const ROUNDS_MAX: u32 = 10_000;
const RECEIPT_BYTES_MAX: usize = 1 << 20;

struct Beacon(BeaconSecret);

impl BeaconSigner for Beacon {
    fn key(&self) -> BeaconKey {
        self.0.key()
    }

    fn prove(&self, input: &Hash) -> (Hash, BeaconProof) {
        self.0.evaluate(input)
    }
}

/// The replica, and the keys of all validators.
pub(crate) struct Solo {
    replica: Replica,
    reader: Reader,
    eip712: Eip712,
    /// The first proposes whenever it is its turn, all sign.
    keys: Vec<AccountKey>,
}

impl Solo {
    /// Opens a chain in `store`; `beacon` is the first key's.
    pub(crate) fn open(
        genesis: Genesis,
        store: Arc<dyn Store>,
        keys: Vec<AccountKey>,
        beacon: BeaconSecret,
    ) -> Result<Self> {
        let own = keys.first().context("somebody has to propose")?.address();
        let eip712 = Eip712::new(genesis.chain);
        let ports = Ports {
            store,
            signatures: Arc::new(Secp256k1),
            beacon: Some(Box::new(Beacon(beacon))),
            clock: Box::new(althing_node::now),
        };
        let replica = Replica::open(Config::new(genesis, own), ports)?;
        let reader = replica.reader();
        Ok(Self { replica, reader, eip712, keys })
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Puts operations of an account into the pool, under its next nonce.
    pub(crate) fn ask(&mut self, key: &AccountKey, operations: Vec<Operation>) -> Result<Hash> {
        let account = query::account(&self.reader.view(), &key.address())?;
        let transaction = Transaction {
            chain: self.reader.genesis().chain,
            account: key.address(),
            nonce: self.replica.mempool().next_nonce(&key.address(), &account),
            expires: Height(u64::MAX),
            atomic: false,
            fee_limit: althing_types::Amount::from_tokens(1),
            operations,
        };
        Ok(self.replica.submit(&key.sign_transaction(transaction).encode())?)
    }

    /// One block of what waits in the pool.
    pub(crate) fn block(&mut self) -> Result<()> {
        let own = self.keys.first().context("somebody proposes")?.address();
        let (height, set) = (self.replica.next_height(), self.replica.validators());
        let own_turn =
            |round: &Round| set.proposer(height, *round).is_some_and(|v| v.address == own);
        let round = (0..ROUNDS_MAX).map(Round).find(own_turn).context("its turn never comes")?;
        let (block, _) = self.replica.propose(height, round)?;
        let certificate = self.certificate(height, round, block);
        Ok(self.replica.commit(certificate)?)
    }

    fn certificate(&self, height: Height, round: Round, block: BlockId) -> Certificate {
        let digest = self.eip712.vote(VoteKind::Precommit, height, round, Some(block));
        let sign = |key: &AccountKey| CommitSignature {
            validator: key.address(),
            signature: key.sign_vote(&digest),
        };
        let mut signatures: Vec<CommitSignature> = self.keys.iter().map(sign).collect();
        signatures.sort_by_key(|signature| signature.validator);
        Certificate { height, round, block, signatures }
    }

    /// What the first operation of a transaction created.
    pub(crate) fn created(&self, transaction: Hash) -> Result<Hash> {
        let archived = self.reader.archived(&Subject::Transaction(transaction))?;
        let leaf = archived.context("the transaction is in no block")?.leaf;
        match canonical::decode(&leaf, RECEIPT_BYTES_MAX, "receipt")? {
            Receipt::Transaction(receipt) => match receipt.results.first() {
                Some(OperationResult::Created(id)) => Ok(*id),
                other => bail!("the operation came to {other:?}"),
            },
            Receipt::Execution(_) | Receipt::Event(_) | Receipt::Run(_) => {
                bail!("another record under a transaction's hash")
            }
        }
    }
}
