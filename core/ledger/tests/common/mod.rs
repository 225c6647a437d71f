//! A chain over a state in memory, with real keys.
//!
//! ```text
//!   World { caller, developer, nodes, service } ──call──► Chain ──block──► receipts, changes
//!                                     └─run(id, act)─► one block after another until it is settled
//! ```
//!
//! After *every* block the chain asserts what must always hold: tokens are conserved (recounted from
//! every record), each open execution has exactly one deadline, and the one that it names, each active
//! offer has the seat that its stake gives it, and phases have moved along documented edges only.

pub(crate) mod flows;
pub(crate) mod phases;
pub(crate) mod world;

use std::collections::BTreeMap;

use althing_keys::{AccountKey, Secp256k1};
use althing_ledger::{
    Account, Applied, Authenticated, BlockContext, Change, Execution, Invalid, Ledger, OfferRecord,
    OfferStatus, OperationResult, Receipt, Rejection, Roster, Totals, TransactionReceipt,
    ValidatorRecord, audit, genesis_writes, keys, query,
};
use althing_state::{MemoryState, View as _};
use althing_types::{
    Address, Amount, BasisPoints, BeaconKey, ChainId, Eip712, Endowment, EndpointId, Genesis,
    GenesisValidator, Hash, Height, Nonce, Operation, Parameters, Round, SignedTransaction, TimeMs,
    Transaction, ValidatorSet, keccak,
};
pub(crate) use world::{Act, World, doubt, failed, opinion, says, truth};

pub(crate) const CHAIN: ChainId = ChainId(7);
pub(crate) const START: TimeMs = TimeMs(1_000_000);
pub(crate) const DAY_MS: u64 = 86_400_000;

/// Somebody with a key.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) key: AccountKey,
}

/// The `n`th of everybody there is.
pub(crate) fn actor(n: u64) -> Actor {
    let secret = keccak(&[b"actor", &n.to_be_bytes()]);
    Actor { key: AccountKey::from_bytes(&secret.0).expect("a hash is a scalar") }
}

impl Actor {
    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    pub(crate) fn sign(&self, transaction: Transaction) -> SignedTransaction {
        self.key.sign_transaction(transaction)
    }
}

pub(crate) const fn tokens(count: u64) -> Amount {
    Amount::from_tokens(count)
}

pub(crate) const fn units(count: u128) -> Amount {
    Amount::from_base_units(count)
}

/// Round numbers, so that fines and shares can be computed by hand.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        fee_base: units(1_000),
        fee_per_byte: units(1),
        validators_max: 4,
        bond_min: tokens(100),
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
        reputation_halving_ms: 30 * DAY_MS,
        misbehaviour_heals_ms: 30 * DAY_MS,
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

/// A genesis validator with this bond.
pub(crate) fn validator(actor: &Actor, bonded: Amount) -> GenesisValidator {
    GenesisValidator {
        address: actor.address(),
        public_key: actor.key.public_key(),
        endpoint: endpoint(actor),
        beacon_key: BeaconKey::ZERO,
        bonded,
    }
}

pub(crate) fn endpoint(actor: &Actor) -> EndpointId {
    EndpointId(keccak(&[&actor.address().0]).0)
}

pub(crate) fn genesis(
    parameters: Parameters,
    mut accounts: Vec<Endowment>,
    mut validators: Vec<GenesisValidator>,
) -> Genesis {
    accounts.sort_by_key(|account| account.address);
    validators.sort_by_key(|validator| validator.address);
    Genesis { chain: CHAIN, time: START, parameters, accounts, validators }
}

/// A chain at some height.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) state: MemoryState,
    pub(crate) height: Height,
    pub(crate) time: TimeMs,
    pub(crate) validators: ValidatorSet,
    pub(crate) receipts: Vec<(Height, Receipt)>,
    pub(crate) changes: Vec<(Height, Change)>,
    pub(crate) rosters: BTreeMap<Hash, Roster>,
    /// Height, state root, receipts root, hash of the next validator set.
    pub(crate) roots: Vec<(Height, Hash, Hash, Hash)>,
    phases: phases::Tracker,
    eip712: Eip712,
}

/// What the next block brings.
pub(crate) struct Plan<'c> {
    pub(crate) chain: &'c Chain,
    /// Time since the previous block.
    pub(crate) elapsed_ms: u64,
    /// Whether there was no block in that time, not even an empty one.
    pub(crate) stood_still: bool,
    pub(crate) round: Round,
    pub(crate) proposer: Address,
    nonces: BTreeMap<Address, Nonce>,
    transactions: Vec<SignedTransaction>,
}

impl Plan<'_> {
    /// Each operation stands for itself.
    pub(crate) fn send(&mut self, from: &Actor, operations: Vec<Operation>) {
        let transaction = self.transaction(from, operations);
        self.transactions.push(from.sign(transaction));
    }

    /// All operations or none.
    pub(crate) fn send_atomic(&mut self, from: &Actor, operations: Vec<Operation>) {
        let transaction = Transaction { atomic: true, ..self.transaction(from, operations) };
        self.transactions.push(from.sign(transaction));
    }

    pub(crate) fn send_raw(&mut self, signed: SignedTransaction) {
        self.transactions.push(signed);
    }

    fn transaction(&mut self, from: &Actor, operations: Vec<Operation>) -> Transaction {
        let account = from.address();
        let stored = self.chain.account(&account).nonce;
        let nonce = self.nonces.entry(account).or_insert(stored);
        let transaction = self.chain.transaction(account, *nonce, operations);
        *nonce = nonce.next();
        transaction
    }
}

impl Chain {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let mut state = MemoryState::default();
        state.apply(&genesis_writes(genesis, &Secp256k1).expect("the genesis is good"));
        audit(&state).expect("the genesis is conserved");
        let validators = query::next_validators(&state).unwrap();
        Self {
            state,
            height: Height(0),
            time: genesis.time,
            validators,
            receipts: vec![],
            changes: vec![],
            rosters: BTreeMap::new(),
            roots: vec![],
            phases: phases::Tracker::default(),
            eip712: Eip712::new(genesis.chain),
        }
    }

    /// Unsigned, good for a hundred heights.
    pub(crate) fn transaction(
        &self,
        account: Address,
        nonce: Nonce,
        operations: Vec<Operation>,
    ) -> Transaction {
        Transaction {
            chain: CHAIN,
            account,
            nonce,
            expires: self.height.after(100),
            atomic: false,
            fee_limit: tokens(1_000),
            operations,
        }
    }

    /// Makes one block, and gives each transaction's receipt or the reason why it has none.
    pub(crate) fn block(
        &mut self,
        fill: impl FnOnce(&mut Plan<'_>),
    ) -> Vec<Result<TransactionReceipt, Invalid>> {
        let height = self.height.next();
        let proposer = self.validators.proposer(height, Round(0)).expect("a validator").address;
        let mut plan = Plan {
            chain: self,
            elapsed_ms: 1,
            stood_still: false,
            round: Round(0),
            proposer,
            nonces: BTreeMap::new(),
            transactions: vec![],
        };
        fill(&mut plan);
        assert!(plan.elapsed_ms > 0, "blocks are later than their predecessors");
        let Plan { elapsed_ms, stood_still, round, proposer, transactions, .. } = plan;
        let context = BlockContext {
            chain: CHAIN,
            height,
            round,
            time: self.time.after(elapsed_ms),
            // Where the chain lives, blocks in which nothing happens are left out.
            previous: if stood_still { self.time } else { self.time.after(elapsed_ms - 1) },
            proposer,
            beacon: keccak(&[b"beacon", &height.0.to_be_bytes()]),
        };
        self.height = height;
        self.time = context.time;
        let eip712 = self.eip712.clone();
        let mut ledger = Ledger::begin(&self.state, context, &eip712, &Secp256k1).unwrap();
        let mut fates = vec![];
        for signed in transactions {
            let fate = Authenticated::decode(&signed.encode(), &eip712, CHAIN, &Secp256k1)
                .and_then(|authenticated| match ledger.apply(&authenticated).unwrap() {
                    Applied::Included => Ok(authenticated.hash()),
                    Applied::Refused(invalid) => Err(invalid),
                });
            fates.push(fate);
        }
        let executed = ledger.finish().unwrap();
        self.state.apply(&executed.writes);
        self.validators = executed.next_validators;
        let set = self.validators.hash();
        self.roots.push((height, self.state.root(), executed.receipts_root, set));
        assert_eq!(self.validators, query::next_validators(&self.state).unwrap());
        assert!(self.validators.is_canonical() && !self.validators.members().is_empty());
        self.phases.follow(&executed.changes, &self.state);
        self.rosters.extend(executed.rosters.into_iter().map(|roster| (roster.hash(), roster)));
        self.changes.extend(executed.changes.into_iter().map(|change| (height, change)));
        let by_hash: BTreeMap<Hash, TransactionReceipt> = executed
            .receipts
            .iter()
            .filter_map(|receipt| match receipt {
                Receipt::Transaction(receipt) => Some((receipt.transaction, receipt.clone())),
                Receipt::Execution(_) | Receipt::Event(_) | Receipt::Run(_) => None,
            })
            .collect();
        self.receipts.extend(executed.receipts.into_iter().map(|receipt| (height, receipt)));
        audit(&self.state).expect("tokens are conserved");
        self.assert_one_deadline_each();
        self.assert_active_offers_have_seats();
        fates.into_iter().map(|fate| fate.map(|hash| by_hash[&hash].clone())).collect()
    }

    /// Makes one block with one operation, and gives what became of it.
    pub(crate) fn send(&mut self, from: &Actor, operation: Operation) -> OperationResult {
        let receipts = self.block(|block| block.send(from, vec![operation]));
        let [Ok(receipt)] = receipts.as_slice() else { panic!("refused: {receipts:?}") };
        let [result] = receipt.results.as_slice() else { panic!("one operation, one result") };
        result.clone()
    }

    /// As [`send`](Self::send); the operation must be carried out.
    pub(crate) fn done(&mut self, from: &Actor, operation: Operation) {
        let result = self.send(from, operation);
        assert!(!matches!(result, OperationResult::Rejected(_)), "{result:?}");
    }

    /// As [`send`](Self::send); the operation must be rejected and change nothing but the sender's
    /// nonce and the fee. Gives the rejection's code.
    pub(crate) fn rejected(&mut self, from: &Actor, operation: Operation) -> &'static str {
        self.rejection(from, operation).code()
    }

    /// As [`rejected`](Self::rejected), with all that the rejection says.
    pub(crate) fn rejection(&mut self, from: &Actor, operation: Operation) -> Rejection {
        let mut without = self.clone();
        without.block(|_| {});
        let OperationResult::Rejected(rejection) = self.send(from, operation) else {
            panic!("the operation was carried out");
        };
        let Some((_, Receipt::Transaction(receipt))) = self
            .receipts
            .iter()
            .rev()
            .find(|(_, receipt)| matches!(receipt, Receipt::Transaction(_)))
        else {
            panic!("the transaction has a receipt");
        };
        let mut account = without.account(&from.address());
        account.balance = account.balance.checked_sub(receipt.fee).unwrap();
        account.nonce = account.nonce.next();
        let mut totals = without.totals();
        totals.accounts = totals.accounts.checked_sub(receipt.fee).unwrap();
        totals.treasury = totals.treasury.checked_add(receipt.fee).unwrap();
        let fee_alone = BTreeMap::from([
            (keys::account(&from.address()), Some(borsh::to_vec(&account).unwrap())),
            (keys::TOTALS.to_vec(), Some(borsh::to_vec(&totals).unwrap())),
        ]);
        without.state.apply(&fee_alone);
        assert_eq!(self.state.root(), without.state.root(), "{rejection} left a trace");
        rejection
    }

    /// An empty block after this long.
    pub(crate) fn wait(&mut self, elapsed_ms: u64) {
        self.block(|block| block.elapsed_ms = elapsed_ms);
    }

    /// No block for this long, then an empty one.
    pub(crate) fn stand_still(&mut self, elapsed_ms: u64) {
        self.block(|block| (block.elapsed_ms, block.stood_still) = (elapsed_ms, true));
    }

    fn assert_one_deadline_each(&self) {
        let mut deadlines: BTreeMap<Hash, Vec<TimeMs>> = BTreeMap::new();
        for (key, value) in self.state.range(keys::DUE, None, usize::MAX).unwrap() {
            // Kind 0 is an execution, by its id.
            if let Some((0, id)) = value.split_first() {
                let time = u64::from_be_bytes(key[1..9].try_into().unwrap());
                deadlines.entry(Hash::try_from(id).unwrap()).or_default().push(TimeMs(time));
            }
        }
        let open = query::executions(&self.state, None, usize::MAX).unwrap();
        for execution in &open {
            assert_eq!(
                deadlines.remove(&execution.id),
                Some(vec![execution.due]),
                "an open execution has one deadline, the one that it names: {execution:?}"
            );
        }
        assert!(deadlines.is_empty(), "deadlines of executions that are over: {deadlines:?}");
    }

    fn assert_active_offers_have_seats(&self) {
        let mut seats: Vec<Vec<u8>> = vec![];
        for (key, bytes) in self.state.range(b"o", None, usize::MAX).unwrap() {
            let offer: OfferRecord = borsh::from_slice(&bytes).unwrap();
            let (service, node) = key[1..].split_first_chunk::<32>().unwrap();
            if offer.status == OfferStatus::Active {
                let node = Address(node.try_into().unwrap());
                seats.push(keys::seat(&Hash(*service), offer.stake, &node));
            }
        }
        seats.sort();
        let taken = self.state.range(b"O", None, usize::MAX).unwrap();
        let taken: Vec<Vec<u8>> = taken.into_iter().map(|(key, _)| key).collect();
        assert_eq!(taken, seats, "each active offer has the seat that its stake gives it");
    }

    // What there is to see.

    pub(crate) fn account(&self, address: &Address) -> Account {
        query::account(&self.state, address).unwrap()
    }

    pub(crate) fn balance(&self, of: &Actor) -> Amount {
        self.account(&of.address()).balance
    }

    pub(crate) fn totals(&self) -> Totals {
        query::totals(&self.state).unwrap()
    }

    pub(crate) fn validator(&self, of: &Actor) -> Option<ValidatorRecord> {
        query::validator(&self.state, &of.address()).unwrap()
    }

    pub(crate) fn in_set(&self, actor: &Actor) -> bool {
        self.validators.get(&actor.address()).is_some()
    }

    pub(crate) fn offer(&self, service: &Hash, node: &Address) -> OfferRecord {
        query::offer(&self.state, service, node).unwrap().expect("an offer")
    }

    pub(crate) fn execution(&self, id: &Hash) -> Option<Execution> {
        query::execution(&self.state, id).unwrap()
    }

    /// The final record of an execution.
    pub(crate) fn settled(&self, id: &Hash) -> Option<&Execution> {
        self.receipts.iter().find_map(|(_, receipt)| match receipt {
            Receipt::Execution(execution) if execution.id == *id => Some(execution),
            Receipt::Execution(_)
            | Receipt::Event(_)
            | Receipt::Run(_)
            | Receipt::Transaction(_) => None,
        })
    }
}
