//! Replicas side by side, with real keys, and no consensus: everybody agrees at once.
//!
//! ```text
//!   World::new(n) ──► n Nodes ──round()──► one proposes ─► all check ─► certificate ─► all commit
//! ```
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use althing_keys::{AccountKey, BeaconSecret, Secp256k1};
use althing_ledger::{OperationResult, Receipt, query};
use althing_replica::application::{Application, Fault};
use althing_replica::store::Store;
use althing_replica::{
    Archived, BeaconSigner, Config, MemoryStore, OpenError, Ports, Replica, Subject,
};
use althing_types::{
    Address, Amount, Answer, BasisPoints, BeaconKey, BeaconProof, BlobRef, Block, BlockId, Call,
    Certificate, ChainId, CommitSignature, Eip712, Endowment, EndpointId, Genesis,
    GenesisValidator, Hash, Height, Nonce, Offer, Operation, Outcome, Parameters, Publish, Round,
    ServiceTerms, SignedTransaction, TaskTerms, TimeMs, Transaction, Transfer, Verification,
    VoteKind, canonical, keccak,
};

pub const CHAIN: ChainId = ChainId(7);
pub const START: u64 = 1_000_000;

pub fn account(n: u64) -> AccountKey {
    AccountKey::from_bytes(&keccak(&[b"account", &n.to_be_bytes()]).0).expect("a scalar")
}

pub fn validator_key(n: u64) -> AccountKey {
    AccountKey::from_bytes(&keccak(&[b"validator", &n.to_be_bytes()]).0).expect("a scalar")
}

pub fn beacon(n: u64) -> BeaconSecret {
    BeaconSecret::from_bytes(&keccak(&[b"beacon", &n.to_be_bytes()]).0)
}

pub struct Signer(BeaconSecret);

impl Signer {
    pub fn of(n: u64) -> Self {
        Self(beacon(n))
    }
}

impl BeaconSigner for Signer {
    fn key(&self) -> BeaconKey {
        self.0.key()
    }

    fn prove(&self, input: &Hash) -> (Hash, BeaconProof) {
        self.0.evaluate(input)
    }
}

pub fn parameters() -> Parameters {
    let units = Amount::from_base_units;
    Parameters {
        fee_base: units(1_000),
        fee_per_byte: units(1),
        validators_max: 4,
        bond_min: Amount::from_tokens(100),
        unbonding_ms: 60_000,
        missed_proposals_max: 3,
        jail_ms: 10_000,
        double_vote_slash: BasisPoints(2_000),
        seal_window_ms: 1_000,
        reveal_window_ms: 1_000,
        draw_window_ms: 8_000,
        escalations_max: 2,
        events_kept_ms: 30 * 86_400_000,
        fan_out_per_block: 1_000,
        checkers_max: 16,
        substitutes: 2,
        newcomers_share: BasisPoints(1_000),
        newcomer_until: 3,
        reputation_halving_ms: 86_400_000,
        misbehaviour_heals_ms: 86_400_000,
        executor_wrong: BasisPoints(2_000),
        checker_wrong: BasisPoints(1_000),
        emitter_wrong: BasisPoints(1_000),
        bad_opening: BasisPoints(1_500),
        withheld: BasisPoints(500),
        absent: BasisPoints(100),
        slash_burned: BasisPoints(5_000),
        absences_max: 3,
        early_exit: BasisPoints(500),
        developer_share: BasisPoints(1_000),
        treasury_share: BasisPoints(500),
        wasm_engine: "wasmtime-48.0.8".parse().unwrap(),
    }
}

/// Accounts 0 to 9 with 1,000 tokens each, and `validators` validators with 100 tokens bonded.
pub fn genesis(validators: u64) -> Genesis {
    let mut accounts: Vec<Endowment> = (0..10)
        .map(|n| Endowment { address: account(n).address(), balance: Amount::from_tokens(1_000) })
        .collect();
    accounts.extend((0..validators).map(|n| Endowment {
        address: validator_key(n).address(),
        balance: Amount::from_tokens(1_000),
    }));
    accounts.sort_by_key(|endowment| endowment.address);
    let mut set: Vec<GenesisValidator> = (0..validators)
        .map(|n| GenesisValidator {
            address: validator_key(n).address(),
            public_key: validator_key(n).public_key(),
            endpoint: EndpointId(keccak(&[b"endpoint", &n.to_be_bytes()]).0),
            beacon_key: beacon(n).key(),
            bonded: Amount::from_tokens(100),
        })
        .collect();
    set.sort_by_key(|validator| validator.address);
    Genesis {
        chain: CHAIN,
        time: TimeMs(START),
        parameters: parameters(),
        accounts,
        validators: set,
    }
}

/// A clock that tests move.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<AtomicU64>);

impl Time {
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    pub fn add(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn now(&self) -> TimeMs {
        TimeMs(self.0.load(Ordering::SeqCst))
    }
}

pub struct Node {
    pub number: u64,
    pub replica: Replica,
    pub store: Arc<MemoryStore>,
}

pub struct World {
    pub genesis: Genesis,
    pub time: Time,
    pub nodes: Vec<Node>,
    pub eip712: Eip712,
}

pub fn config(genesis: &Genesis, number: u64) -> Config {
    Config::new(genesis.clone(), validator_key(number).address())
}

pub fn open(
    config: Config,
    number: u64,
    store: &Arc<MemoryStore>,
    time: &Time,
) -> Result<Replica, OpenError> {
    let clock = time.clone();
    let ports = Ports {
        store: Arc::clone(store) as Arc<dyn Store>,
        signatures: Arc::new(Secp256k1),
        beacon: Some(Box::new(Signer(beacon(number)))),
        clock: Box::new(move || clock.now()),
    };
    Replica::open(config, ports)
}

impl World {
    pub fn new(validators: u64) -> Self {
        Self::of(genesis(validators), validators)
    }

    /// A node for each of the first `validators` validators of this genesis.
    pub fn of(genesis: Genesis, validators: u64) -> Self {
        let time = Time::default();
        time.set(START + 1_000);
        let nodes = (0..validators)
            .map(|number| {
                let store = Arc::new(MemoryStore::new());
                let replica = open(config(&genesis, number), number, &store, &time).unwrap();
                Node { number, replica, store }
            })
            .collect();
        Self { genesis, time, nodes, eip712: Eip712::new(CHAIN) }
    }

    /// The node whose turn it is.
    pub fn proposer(&self, round: Round) -> usize {
        let replica = &self.nodes[0].replica;
        let set = replica.validators();
        let address = set.proposer(replica.next_height(), round).unwrap().address;
        let is = |node: &Node| validator_key(node.number).address() == address;
        self.nodes.iter().position(is).expect("the proposer is one of the nodes")
    }

    /// Everybody's precommits.
    pub fn certificate(&self, height: Height, round: Round, block: BlockId) -> Certificate {
        let digest = self.eip712.vote(VoteKind::Precommit, height, round, Some(block));
        let set = self.nodes[0].replica.validators();
        let mut signatures: Vec<CommitSignature> = (0..10)
            .map(validator_key)
            .chain((0..10).map(account))
            .filter(|key| set.get(&key.address()).is_some())
            .map(|key| CommitSignature {
                validator: key.address(),
                signature: key.sign_vote(&digest),
            })
            .collect();
        signatures.sort_by_key(|signature| signature.validator);
        Certificate { height, round, block, signatures }
    }

    /// One block, proposed by whose turn it is, checked and committed by all.
    pub fn round(&mut self) -> Block {
        self.round_of(Round(0))
    }

    /// As [`round`](Self::round), where the proposers of earlier rounds were absent.
    pub fn round_of(&mut self, round: Round) -> Block {
        self.time.add(10);
        let height = self.nodes[0].replica.next_height();
        let proposer = self.proposer(round);
        let address = validator_key(self.nodes[proposer].number).address();
        let (id, body) = self.nodes[proposer].replica.propose(height, round).unwrap();
        let certificate = self.certificate(height, round, id);
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if number != proposer {
                let answer = node.replica.receive(height, round, address, &body).unwrap();
                assert_eq!(answer, Some((id, true)), "{:?}", node.replica.objection(&id));
            }
            node.replica.commit(certificate.clone()).unwrap();
        }
        Block::decode(&body).unwrap()
    }

    /// Submits to every node.
    pub fn submit(&mut self, transaction: &SignedTransaction) -> Hash {
        let bytes = transaction.encode();
        let mut hash = Hash::ZERO;
        for node in &mut self.nodes {
            hash = node.replica.submit(&bytes).unwrap();
        }
        hash
    }

    pub fn nonce(&self, key: &AccountKey) -> Nonce {
        let replica = &self.nodes[0].replica;
        let account = query::account(&replica.reader().view(), &key.address()).unwrap();
        replica.mempool().next_nonce(&key.address(), &account)
    }

    /// Submits one operation under the account's next nonce.
    pub fn ask(&mut self, key: &AccountKey, operation: Operation) -> Hash {
        let transaction = transaction(key, self.nonce(key), vec![operation]);
        self.submit(&transaction)
    }

    pub fn archived(&self, subject: Subject) -> Option<Archived> {
        self.nodes[0].replica.reader().archived(&subject).unwrap()
    }

    /// What became of a transaction's only operation.
    pub fn result(&self, transaction: Hash) -> OperationResult {
        let archived = self.archived(Subject::Transaction(transaction)).expect("it is in a block");
        match canonical::decode(&archived.leaf, 1 << 20, "receipt").unwrap() {
            Receipt::Transaction(receipt) => receipt.results[0].clone(),
            Receipt::Execution(_) | Receipt::Event(_) | Receipt::Run(_) => {
                panic!("another record under a transaction's hash")
            }
        }
    }

    /// A service, offered by all validators' accounts, called once: the execution's id, once its
    /// committee is drawn.
    pub fn draw_one_execution(&mut self, checkers: u16, quorum: u16) -> Hash {
        let service = service();
        self.ask(&account(0), Operation::Publish(Publish { terms: service.clone().into() }));
        for number in 0..self.nodes.len() as u64 {
            let key = validator_key(number);
            let offer = Offer {
                service: service.id(),
                stake: Amount::from_tokens(50),
                term_ms: 1_000_000,
                owner: key.address(),
                endpoint: EndpointId(keccak(&[b"endpoint", &number.to_be_bytes()]).0),
                labels: vec![],
            };
            self.ask(&key, Operation::Offer(offer));
        }
        self.round();
        let call = Call { checkers, quorum, ..call(service.id()) };
        let call = self.ask(&account(1), Operation::Call(call));
        self.round();
        let OperationResult::Created(id) = self.result(call) else {
            panic!("the call was rejected: {:?}", self.result(call));
        };
        self.round();
        id
    }

    /// The keys of an execution's members, the executor's first.
    pub fn members(&self, id: &Hash) -> Vec<AccountKey> {
        let execution = self.nodes[0].replica.reader().execution(id).unwrap().unwrap();
        let key = |node| (0..10).map(validator_key).find(|key| key.address() == node).unwrap();
        execution.members.iter().map(|member| key(member.node)).collect()
    }

    /// A service, offered by all validators' accounts, called once without checkers and answered:
    /// the execution's id, once it is settled.
    pub fn settle_one_execution(&mut self) -> Hash {
        let id = self.draw_one_execution(0, 0);
        let outcome = Outcome::Returned {
            status: "done".parse().unwrap(),
            output: BlobRef::of(b"{\"total\":42}"),
            keys: Vec::new(),
        };
        let executor = self.members(&id).remove(0);
        self.ask(&executor, Operation::Answer(Answer { execution: id, round: 0, outcome }));
        self.round();
        assert!(self.archived(Subject::Execution(id)).is_some(), "it is settled");
        id
    }
}

pub fn service() -> ServiceTerms {
    ServiceTerms {
        alias: "acme/invoice@1.0.0".parse().unwrap(),
        manifest: BlobRef::of(b"manifest"),
        module: Some(BlobRef::of(b"module")),
        tasks: vec![TaskTerms {
            name: "total".parse().unwrap(),
            statuses: vec!["done".parse().unwrap()],
            verification: Verification::Deterministic,
            price: Amount::from_tokens(2),
            check_price: Amount::from_tokens(2),
            time_limit_ms: 1_000,
        }],
        events: Vec::new(),
        stake_min: Amount::from_tokens(10),
    }
}

pub fn call(service: Hash) -> Call {
    Call {
        service,
        task: "total".parse().unwrap(),
        input: BlobRef::of(b"{}"),
        home: EndpointId::ZERO,
        checkers: 0,
        quorum: 0,
        nodes: Vec::new(),
        price_max: Amount::from_tokens(10),
    }
}

pub fn transaction(
    key: &AccountKey,
    nonce: Nonce,
    operations: Vec<Operation>,
) -> SignedTransaction {
    key.sign_transaction(draft(key.address(), nonce, operations))
}

pub fn draft(account: Address, nonce: Nonce, operations: Vec<Operation>) -> Transaction {
    Transaction {
        chain: CHAIN,
        account,
        nonce,
        expires: Height(1_000),
        atomic: false,
        fee_limit: Amount::from_tokens(1),
        operations,
    }
}

pub fn transfer(to: &AccountKey, units: u128) -> Operation {
    Operation::Transfer(Transfer { to: to.address(), amount: Amount::from_base_units(units) })
}

/// The code of a fault that was expected.
pub fn fault<T: std::fmt::Debug>(result: Result<T, Fault>) -> Fault {
    result.expect_err("a fault was expected")
}
