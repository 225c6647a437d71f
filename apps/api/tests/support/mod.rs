//! A node in memory behind a real server.
#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(unreachable_pub, reason = "a module of several tests")]

pub mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use althing_api::client::Client;
use althing_api::{
    Answer, Applications, Config, Cut, ExecutionFilter, Node, NodeError, Programs, ServiceKey,
    Viewing, serve, wire,
};
use althing_ledger as ledger;
use althing_types::*;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast, oneshot};

pub const CHAIN: ChainId = ChainId(77);

/// A node that keeps what it is given, and misbehaves when told to.
pub struct FakeNode {
    pub events: broadcast::Sender<wire::Event>,
    pub submitted: Mutex<BTreeMap<Hash, SignedTransaction>>,
    pub blobs: Mutex<BTreeMap<Hash, Bytes>>,
    /// The queue is full.
    pub busy: AtomicBool,
    /// The store is broken.
    pub broken: AtomicBool,
    /// `status` waits for ever, and says here that it does.
    pub stuck: AtomicBool,
    pub waiting: Notify,
}

impl Default for FakeNode {
    fn default() -> Self {
        Self {
            events: broadcast::channel(4).0,
            submitted: Mutex::default(),
            blobs: Mutex::default(),
            busy: AtomicBool::default(),
            broken: AtomicBool::default(),
            stuck: AtomicBool::default(),
            waiting: Notify::new(),
        }
    }
}

fn answer<'a, T: Send + 'a>(result: Result<T, NodeError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

fn found<'a, T: Send + 'a>(value: Option<T>, what: String) -> Answer<'a, T> {
    answer(value.ok_or(NodeError::NotFound { what }))
}

pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

pub fn service_terms() -> ServiceTerms {
    ServiceTerms {
        alias: "acme/invoice@1.0.0".parse().unwrap(),
        manifest: BlobRef::of(b"manifest"),
        module: Some(BlobRef::of(b"module")),
        tasks: vec![TaskTerms {
            name: "parse".parse().unwrap(),
            statuses: vec!["parsed".parse().unwrap(), "unreadable".parse().unwrap()],
            verification: Verification::Deterministic,
            price: amount("0.25"),
            check_price: amount("0.25"),
            time_limit_ms: 500,
        }],
        events: vec![EventTerms {
            name: "received".parse().unwrap(),
            keys: 1,
            window_ms: 10_000,
            emitters: Emitters::Majority,
            measured: vec![
                MeasuredTerms { decimals: 2, tolerance: Some(1) },
                MeasuredTerms { decimals: 0, tolerance: None },
            ],
            price: amount("0.01"),
        }],
        stake_min: amount("100"),
    }
}

pub fn header(height: u64) -> Header {
    Header {
        chain: CHAIN,
        height: Height(height),
        round: Round(0),
        time: TimeMs(1_700_000_000_000 + height),
        previous: keccak(&[b"previous"]),
        transactions_root: keccak(&[b"transactions"]),
        state_root: keccak(&[b"state"]),
        receipts_root: keccak(&[b"receipts"]),
        headers_root: keccak(&[b"headers"]),
        beacon: keccak(&[b"beacon"]),
        validator_set: keccak(&[b"set"]),
        next_validator_set: keccak(&[b"next"]),
        proposer: Address([9; 20]),
    }
}

pub fn certificate(height: u64) -> Certificate {
    Certificate {
        height: Height(height),
        round: Round(0),
        block: header(height).id(),
        signatures: vec![CommitSignature {
            validator: Address([9; 20]),
            signature: VoteSignature([5; 64]),
        }],
    }
}

pub fn roster() -> ledger::Roster {
    let candidate = |seed: u8| ledger::Candidate {
        node: Address([seed; 20]),
        owner: Address([seed; 20]),
        weight: 1000 * u128::from(seed),
        newcomer: false,
        labels: vec![],
    };
    ledger::Roster {
        service: service_terms().id(),
        height: Height(2),
        newcomers_share: BasisPoints(500),
        candidates: (1..=6).map(candidate).collect(),
    }
}

pub fn execution() -> ledger::Execution {
    let (id, beacon, roster) = (keccak(&[b"execution"]), keccak(&[b"beacon"]), roster());
    let drawn = ledger::draw(
        &ledger::draw_seed(&beacon, &id, 0, 0),
        &roster,
        &[],
        ledger::Restriction::default(),
        3,
    );
    let outcome = Outcome::Returned {
        status: "parsed".parse().unwrap(),
        output: BlobRef::of(b"{\"total\":42}"),
        keys: vec![],
    };
    let member = |(place, node): (usize, &Address)| ledger::Member {
        node: *node,
        role: if place == 0 { ledger::Role::Executor } else { ledger::Role::Checker },
        round: 0,
        state: ledger::MemberState::Opened(Claim::Outcome(outcome.clone())),
        offence: None,
        fine: Amount::ZERO,
        earned: amount("0.2"),
    };
    ledger::Execution {
        id,
        payer: Address([7; 20]),
        service: service_terms().id(),
        task: "parse".parse().unwrap(),
        verification: Verification::Deterministic,
        input: BlobRef::of(b"{}"),
        origin: ledger::Origin::Call,
        homes: vec![EndpointId([3; 32])],
        checkers: 2,
        quorum: 2,
        nodes: vec![],
        labels: vec![],
        price: amount("0.25"),
        check_price: amount("0.25"),
        time_limit_ms: 500,
        escrow: Amount::ZERO,
        paid_in: amount("0.75"),
        fines: Amount::ZERO,
        refunded: Amount::ZERO,
        created: Height(1),
        created_at: TimeMs(1_700_000_000_001),
        changed: Height(4),
        phase: ledger::Phase::Settled,
        due: TimeMs(0),
        round: 0,
        refills: 0,
        members: drawn.iter().enumerate().map(member).collect(),
        substitutes: vec![],
        draws: vec![ledger::DrawRecord {
            round: 0,
            refill: 0,
            height: Height(2),
            beacon,
            roster: roster.hash(),
            seats: 3,
            excluded: vec![],
            drawn,
        }],
        conclusion: Some(ledger::Conclusion::Accepted(outcome)),
    }
}

impl FakeNode {
    fn service_record(&self) -> wire::Service {
        wire::Service {
            id: service_terms().id().into(),
            terms: service_terms().into(),
            developer: Address([8; 20]).into(),
            published: 1,
            offers: 1,
        }
    }

    fn is_known(service: &ServiceKey) -> bool {
        match service {
            ServiceKey::Id(id) => *id == service_terms().id(),
            ServiceKey::Alias(alias) => *alias == service_terms().alias,
        }
    }
}

impl Node for FakeNode {
    fn status(&self) -> Answer<'_, wire::Status> {
        if self.stuck.load(Ordering::SeqCst) {
            return Box::pin(async {
                self.waiting.notify_one();
                std::future::pending().await
            });
        }
        if self.broken.load(Ordering::SeqCst) {
            let source = std::io::Error::other("the secret path /var/lib/node is gone").into();
            return answer(Err(NodeError::Failed { source }));
        }
        answer(Ok(wire::Status {
            chain: CHAIN.0,
            genesis: keccak(&[b"genesis"]).into(),
            height: 4,
            block: header(4).id().into(),
            time: header(4).time.0,
            peers: 3,
            syncing: false,
            version: "0.1.0".to_owned(),
            address: Address([9; 20]).into(),
            endpoint: EndpointId([3; 32]).into(),
            pending: 0,
        }))
    }

    fn genesis(&self) -> Answer<'_, wire::Genesis> {
        answer(Ok(super_genesis().into()))
    }

    fn submit(&self, transaction: SignedTransaction) -> Answer<'_, Hash> {
        if self.busy.load(Ordering::SeqCst) {
            return answer(Err(NodeError::Busy { what: "too many transactions wait for a block" }));
        }
        if transaction.transaction.nonce != Nonce(0) {
            let detail = "the account's next nonce is 0".to_owned();
            return answer(Err(NodeError::Rejected { code: "TXN-0006", detail }));
        }
        let hash = transaction.hash();
        self.submitted.lock().unwrap().insert(hash, transaction);
        answer(Ok(hash))
    }

    fn transaction(&self, hash: Hash, _: Duration) -> Answer<'_, wire::TransactionReceipt> {
        let known = self.submitted.lock().unwrap().get(&hash).cloned();
        let receipt = known.map(|signed| {
            wire::TransactionReceipt::of(
                Height(4),
                ledger::TransactionReceipt {
                    transaction: hash,
                    account: signed.transaction.account,
                    nonce: signed.transaction.nonce,
                    fee: amount("0.01"),
                    results: vec![
                        ledger::OperationResult::Created(keccak(&[b"execution"])),
                        ledger::OperationResult::Rejected(ledger::Rejection::UnknownTask),
                    ],
                },
            )
        });
        found(receipt, format!("transaction {hash}"))
    }

    fn account(&self, address: Address) -> Answer<'_, wire::Account> {
        answer(Ok(wire::Account {
            address: address.into(),
            balance: amount("12.5").into(),
            nonce: 0,
            next_nonce: 1,
            validator: None,
        }))
    }

    fn services(&self, cut: Cut) -> Answer<'_, wire::Page<wire::Service>> {
        let items = if cut.after.is_none() { vec![self.service_record()] } else { vec![] };
        answer(Ok(wire::Page { next: items.first().map(|service| service.id), items }))
    }

    fn service(&self, service: ServiceKey) -> Answer<'_, wire::Service> {
        let known = Self::is_known(&service).then(|| self.service_record());
        found(known, format!("service {service}"))
    }

    fn offers(&self, service: ServiceKey) -> Answer<'_, Vec<wire::Offer>> {
        let tally = ledger::Tally { right: 3_000_000, done: 3, ..ledger::Tally::default() };
        let record = ledger::OfferRecord {
            owner: Address([1; 20]),
            endpoint: EndpointId([3; 32]),
            labels: vec![],
            stake: amount("150"),
            since: TimeMs(1),
            term_until: TimeMs(2),
            status: ledger::OfferStatus::Leaving { due: TimeMs(3) },
            executor: tally,
            checker: tally,
            emitter: tally,
            absences_in_a_row: 0,
            incidents: 1,
            last_incident: None,
            fined: amount("1.5"),
            earned: amount("2"),
        };
        let offer = wire::Offer::of(service_terms().id(), Address([1; 20]), record, u128::MAX);
        found(Self::is_known(&service).then(|| vec![offer]), format!("service {service}"))
    }

    fn executions(
        &self,
        filter: ExecutionFilter,
        _: Cut,
    ) -> Answer<'_, wire::Page<wire::Execution>> {
        let execution = wire::Execution::from(execution());
        let matches = filter.payer.is_none_or(|payer| payer == execution.payer.0)
            && filter.service.is_none_or(|service| service == execution.service.0)
            && filter.phase.is_none_or(|phase| phase == execution.phase)
            && filter.node.is_none_or(|node| execution.members.iter().any(|m| m.node.0 == node));
        answer(Ok(wire::Page {
            items: matches.then_some(execution).into_iter().collect(),
            next: None,
        }))
    }

    fn execution(&self, id: Hash, _: Duration) -> Answer<'_, wire::Execution> {
        let execution = execution();
        found((id == execution.id).then(|| execution.into()), format!("execution {id}"))
    }

    fn explain(&self, id: Hash) -> Answer<'_, wire::Explanation> {
        let explained = wire::Explanation::of(execution(), |_| Some(roster()));
        found((id == execution().id).then_some(explained), format!("execution {id}"))
    }

    fn receipt(&self, id: Hash) -> Answer<'_, Bytes> {
        let receipt = (id == execution().id).then(|| Bytes::from_static(b"{\"receipt\": 1}"));
        found(receipt, format!("settled execution {id}"))
    }

    fn block(&self, height: Option<Height>) -> Answer<'_, wire::Block> {
        let height = height.unwrap_or(Height(4));
        let block = Block {
            header: header(height.0),
            beacon_proof: BeaconProof([6; 96]),
            transactions: self.submitted.lock().unwrap().values().cloned().collect(),
        };
        let block = wire::Block::of(block, certificate(height.0));
        found((1..=4).contains(&height.0).then_some(block), format!("block {height}"))
    }

    fn headers(&self, from: Height, limit: usize) -> Answer<'_, Vec<wire::IdentifiedHeader>> {
        answer(Ok((from.0..=4).take(limit).map(|height| header(height).into()).collect()))
    }

    fn validators(&self) -> Answer<'_, wire::Validators> {
        let genesis = super_genesis();
        let first = &genesis.validators[0];
        let set = ValidatorSet::new(vec![Validator {
            address: first.address,
            public_key: first.public_key,
            endpoint: first.endpoint,
            beacon_key: first.beacon_key,
            power: 100,
        }]);
        let record = ledger::ValidatorRecord {
            public_key: first.public_key,
            endpoint: first.endpoint,
            beacon_key: first.beacon_key,
            bonded: first.bonded,
            unbonding: vec![ledger::Unbonding { due: TimeMs(5), amount: amount("1") }],
            status: ledger::ValidatorStatus::Active,
            missed: 0,
        };
        answer(Ok(wire::Validators {
            height: 4,
            set: set.hash().into(),
            total_power: set.total_power(),
            validators: vec![wire::Validator::of(first.address, record, &set)],
        }))
    }

    fn totals(&self) -> Answer<'_, wire::Totals> {
        let totals = ledger::Totals {
            accounts: amount("70"),
            bonded: amount("30"),
            supply: amount("100"),
            ..ledger::Totals::default()
        };
        answer(Ok(totals.into()))
    }

    fn put_blob(&self, bytes: Bytes, _of: Option<Hash>) -> Answer<'_, wire::BlobRef> {
        let blob = BlobRef::of(&bytes);
        self.blobs.lock().unwrap().insert(blob.hash, bytes);
        answer(Ok(blob.into()))
    }

    fn blob(&self, _: Option<Address>, hash: Hash, _: Option<Hash>) -> Answer<'_, Bytes> {
        found(self.blobs.lock().unwrap().get(&hash).cloned(), format!("blob {hash}"))
    }

    fn metrics(&self) -> String {
        "# TYPE althing_height gauge\nalthing_height 4\n".to_owned()
    }

    fn viewer(&self, viewing: Viewing) -> Answer<'_, Address> {
        let good = viewing.signature.v == 27;
        let refused = NodeError::NotAllowed { what: "the signature is another account's" };
        answer(if good { Ok(viewing.account) } else { Err(refused) })
    }

    fn applications(&self) -> Option<&dyn Applications> {
        Some(self)
    }

    fn programs(&self) -> Option<&dyn Programs> {
        Some(self)
    }

    fn events(&self) -> broadcast::Receiver<wire::Event> {
        self.events.subscribe()
    }
}

pub fn super_genesis() -> Genesis {
    Genesis {
        chain: CHAIN,
        time: TimeMs(1_700_000_000_000),
        parameters: Parameters {
            fee_base: amount("0.001"),
            fee_per_byte: amount("0.000001"),
            validators_max: 100,
            bond_min: amount("10"),
            unbonding_ms: 1,
            missed_proposals_max: 2,
            jail_ms: 3,
            double_vote_slash: BasisPoints(1000),
            seal_window_ms: 4,
            reveal_window_ms: 5,
            draw_window_ms: 6,
            escalations_max: 7,
            events_kept_ms: 7,
            fan_out_per_block: 1_000,
            checkers_max: 8,
            substitutes: 9,
            newcomers_share: BasisPoints(500),
            newcomer_until: 10,
            reputation_halving_ms: 11,
            misbehaviour_heals_ms: 12,
            executor_wrong: BasisPoints(13),
            checker_wrong: BasisPoints(14),
            emitter_wrong: BasisPoints(28),
            bad_opening: BasisPoints(15),
            withheld: BasisPoints(16),
            absent: BasisPoints(17),
            slash_burned: BasisPoints(18),
            absences_max: 19,
            early_exit: BasisPoints(20),
            developer_share: BasisPoints(21),
            treasury_share: BasisPoints(22),
            wasm_engine: "wasmtime-48.0.8".parse().unwrap(),
        },
        accounts: vec![Endowment { address: Address([1; 20]), balance: amount("1000.000001") }],
        validators: vec![GenesisValidator {
            address: Address([2; 20]),
            public_key: PublicKey([3; 33]),
            endpoint: EndpointId([4; 32]),
            beacon_key: BeaconKey([5; 32]),
            bonded: amount("100"),
        }],
    }
}

pub fn signed(nonce: u64, operations: Vec<Operation>) -> SignedTransaction {
    SignedTransaction {
        transaction: Transaction {
            chain: CHAIN,
            account: Address([7; 20]),
            nonce: Nonce(nonce),
            expires: Height(1000),
            atomic: true,
            fee_limit: amount("0.5"),
            operations,
        },
        signature: RecoverableSignature { r_and_s: [1; 64], v: 27 },
    }
}

pub fn transfer() -> Operation {
    Operation::Transfer(Transfer { to: Address([8; 20]), amount: amount("12.5") })
}

/// A server on a free port of loopback; stops when it is dropped.
pub struct Server {
    pub node: Arc<FakeNode>,
    pub client: Client,
    pub url: String,
    pub address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let node = Arc::new(FakeNode::default());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let port: Arc<dyn Node> = Arc::clone(&node) as Arc<dyn Node>;
        let ended = runtime.spawn(serve(listener, port, config, async move {
            drop(stopped.await);
        }));
        let url = format!("http://{address}");
        let client = Client::new(&url);
        Self { node, client, url, address, stop: Some(stop), ended: Some(ended), runtime }
    }

    /// Stops the server and waits for its end.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("the server waits for it");
        }
        if let Some(ended) = self.ended.take() {
            self.runtime.block_on(ended).unwrap().unwrap();
        }
    }

    /// Waits until the node has said that a request is stuck in it.
    pub fn wait_until_stuck(&self) {
        self.runtime.block_on(self.node.waiting.notified());
    }
}

/// An agent that shows refusals as answers.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}
