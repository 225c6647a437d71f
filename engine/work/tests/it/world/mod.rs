//! A small network without a network: every node's machine and outbox, one ledger, virtual time.
//!
//! A block is made every `BLOCK_MS` of virtual time. What a driver would do takes virtual time too.

mod applications;
mod chain;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use althing_ledger::{
    Applied, Authenticated, BlockContext, Conclusion, Executed, Execution, Ledger, Offence,
    Receipt, RunRecord, genesis_writes, keys, query,
};
use althing_manifest::Manifest;
use althing_state::MemoryState;
use althing_types::{
    Address, Amount, BlobRef, Call, Hash, Height, Nonce, Offer, Operation, Outcome, Publish, Round,
    SignedTransaction, TimeMs, tagged,
};
use althing_work::port::Journal as _;
use althing_work::runtime::Runtime as _;
use althing_work::simulated::{MemoryJournal, TableRuntime};
use althing_work::{
    Conduct, Config, Effect, Holder, Honest, Input, Machine, News, Note, Outbox, OutboxConfig,
    Runs, Unusable, as_published, concerns,
};
pub(crate) use applications::*;
pub(crate) use chain::*;

pub(crate) const BLOCK_MS: u64 = 10;
const FETCH_MS: u64 = 3;
type Blobs = BTreeMap<Hash, Vec<u8>>;

pub(crate) struct Node {
    pub(crate) address: Address,
    pub(crate) machine: Machine,
    outbox: Outbox,
    pub(crate) blobs: Blobs,
    pub(crate) journal: MemoryJournal,
    pub(crate) runtime: TableRuntime,
    pub(crate) notes: Vec<Note>,
    /// Counts lives: what an earlier one began has no end.
    life: u32,
    /// Effects carried out in all lives.
    pub(crate) effects: usize,
    /// After which effects the node stops and starts again.
    pub(crate) crash_after: Vec<usize>,
    conduct: Box<dyn Fn() -> Box<dyn Conduct>>,
    pub(crate) config: Config,
    /// Operations that it has submitted, in order.
    pub(crate) submitted: Vec<Operation>,
    /// Whether others can fetch from it.
    pub(crate) serves: bool,
}

struct Event {
    node: usize,
    life: u32,
    input: Input,
}

pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) state: MemoryState,
    now_ms: u64,
    height: Height,
    mempool: VecDeque<SignedTransaction>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    payer_nonce: Nonce,
    home: Blobs,
    pub(crate) service: Hash,
    /// Ended executions.
    pub(crate) ended: BTreeMap<Hash, Execution>,
    /// Virtual time of each end.
    pub(crate) ended_ms: BTreeMap<Hash, u64>,
    /// Ended runs.
    pub(crate) runs: BTreeMap<Hash, RunRecord>,
    /// Each of these is lost on its way once.
    pub(crate) lose: Rc<RefCell<usize>>,
    /// A node that something outside of this world drives.
    driven: Option<usize>,
    /// The last block's news for that node.
    pub(crate) last_news: Option<News>,
}

/// How the nodes of a world behave.
pub(crate) type Conducts = Vec<Box<dyn Fn() -> Box<dyn Conduct>>>;

pub(crate) fn honest(count: usize) -> Conducts {
    (0..count)
        .map(|_| -> Box<dyn Fn() -> Box<dyn Conduct>> { Box::new(|| Box::new(Honest)) })
        .collect()
}

impl World {
    pub(crate) fn new(conducts: Conducts) -> Self {
        Self::with_manifest(conducts, &manifest("acme/test@1.0.0"), |terms| terms)
    }

    /// `published` may make terms that are not the manifest's.
    pub(crate) fn with_manifest(
        conducts: Conducts,
        manifest: &Manifest,
        published: impl Fn(althing_types::ServiceTerms) -> althing_types::ServiceTerms,
    ) -> Self {
        let count = conducts.len();
        let genesis = genesis(count);
        let mut state = MemoryState::default();
        state.apply(&genesis_writes(&genesis, &Names).expect("the genesis is sound"));
        let nodes = conducts.into_iter().enumerate().map(|(i, conduct)| node(i, conduct)).collect();
        let canonical = manifest.canonical();
        let files = [canonical, MODULE.to_vec()];
        let home = files.iter().map(|bytes| (BlobRef::of(bytes).hash, bytes.clone())).collect();
        let mut world = Self {
            nodes,
            state,
            now_ms: 0,
            height: Height(0),
            mempool: VecDeque::new(),
            events: BTreeMap::new(),
            sequence: 0,
            payer_nonce: Nonce(0),
            home,
            service: Hash::ZERO,
            ended: BTreeMap::new(),
            ended_ms: BTreeMap::new(),
            runs: BTreeMap::new(),
            lose: Rc::default(),
            driven: None,
            last_news: None,
        };
        let terms = published(manifest.terms());
        world.service = terms.id();
        world.pay(vec![Operation::Publish(Publish { terms: terms.into() })]);
        world.block();
        for index in 0..count {
            let address = node_address(index);
            let offer = Operation::Offer(Offer {
                service: world.service,
                stake: tokens(1_000),
                term_ms: 1_000_000,
                owner: address,
                endpoint: node_endpoint(index),
                labels: vec![],
            });
            let signed = sign(address, Nonce(0), vec![offer]);
            world.mempool.push_back(signed);
        }
        world.block();
        for index in 0..count {
            world.start(index);
        }
        world
    }

    // The payer.

    fn pay(&mut self, operations: Vec<Operation>) -> SignedTransaction {
        let signed = sign(PAYER, self.payer_nonce, operations);
        self.payer_nonce = self.payer_nonce.next();
        self.mempool.push_back(signed.clone());
        signed
    }

    pub(crate) fn call(&mut self, task: &str, checkers: u16, inputs: &[&str]) -> Vec<Hash> {
        let blobs = inputs.iter().map(|input| input.as_bytes().to_vec());
        let refs: Vec<BlobRef> = blobs.clone().map(|bytes| BlobRef::of(&bytes)).collect();
        self.home.extend(blobs.map(|bytes| (BlobRef::of(&bytes).hash, bytes)));
        self.call_blobs(task, checkers, &refs)
    }

    /// Inputs that nobody may have.
    pub(crate) fn call_blobs(
        &mut self,
        task: &str,
        checkers: u16,
        inputs: &[BlobRef],
    ) -> Vec<Hash> {
        let call = |input: &BlobRef| {
            Operation::Call(Call {
                service: self.service,
                task: name(task),
                input: *input,
                home: HOME,
                checkers,
                quorum: 0,
                nodes: Vec::new(),
                price_max: tokens(1_000),
            })
        };
        let calls: Vec<Operation> = inputs.iter().map(call).collect();
        let nonce = self.payer_nonce;
        self.pay(calls);
        (0..u32::try_from(inputs.len()).expect("few calls"))
            .map(|index| {
                let parts: [&[u8]; 4] = [
                    &CHAIN.0.to_be_bytes(),
                    &PAYER.0,
                    &nonce.0.to_be_bytes(),
                    &index.to_be_bytes(),
                ];
                tagged("althing execution", &parts)
            })
            .collect()
    }

    // Nodes.

    pub(crate) fn outbox_config() -> OutboxConfig {
        OutboxConfig { resend_ms: 60, ..OutboxConfig::new(CHAIN, &parameters()) }
    }

    /// From now on something outside of this world drives the node.
    pub(crate) fn drive_elsewhere(&mut self, index: usize) {
        self.nodes[index].life = 0;
        self.driven = Some(index);
    }

    /// Takes in a transaction from outside.
    pub(crate) fn inject(&mut self, signed: SignedTransaction) {
        self.mempool.push_back(signed);
    }

    /// State, height and time of the last block.
    pub(crate) fn newest(&self) -> (MemoryState, Height, TimeMs) {
        (self.state.clone(), self.height, self.block_time())
    }

    fn block_time(&self) -> TimeMs {
        START.after(self.now_ms).after(self.height.0)
    }

    /// What the payer and all nodes have.
    pub(crate) fn all_files(&self) -> BTreeMap<Hash, Vec<u8>> {
        let files = self.nodes.iter().map(|node| &node.blobs).chain([&self.home]);
        files.flatten().map(|(hash, bytes)| (*hash, bytes.clone())).collect()
    }

    /// Starts a node, or starts it again: only its files are left.
    pub(crate) fn start(&mut self, index: usize) {
        let address = node_address(index);
        let account = query::account(&self.state, &address).expect("memory can be read");
        let node = &mut self.nodes[index];
        node.life += 1;
        let secret = secret(index);
        node.machine = Machine::with_conduct(node.config, address, secret, (node.conduct)());
        node.outbox = Outbox::new(Self::outbox_config(), address, self.height, account.nonce);
        let records = node.journal.recall().expect("memory can be read");
        let executions = open_executions(&self.state, &address);
        let time = self.block_time();
        self.step(index, Input::Restarted { time, executions, records });
    }

    pub(crate) fn step(&mut self, index: usize, input: Input) {
        let mut effects = Vec::new();
        self.nodes[index].machine.step(input, &mut effects);
        for effect in effects {
            self.carry_out(index, effect);
            let node = &mut self.nodes[index];
            node.effects += 1;
            if node.crash_after.contains(&node.effects) {
                self.start(index);
                return;
            }
        }
    }

    fn later(&mut self, index: usize, after_ms: u64, input: Input) {
        self.sequence += 1;
        let life = self.nodes[index].life;
        let event = Event { node: index, life, input };
        self.events.insert((self.now_ms + after_ms, self.sequence), event);
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::FetchBlob { job, blob, from, .. } => {
                let available = self.fetch(index, &blob, &from);
                self.later(index, FETCH_MS, Input::Blob { job, hash: blob.hash, available });
            }
            Effect::Prepare { service, .. } => {
                let result = self.prepare(index, &service);
                self.later(index, FETCH_MS, Input::Prepared { service, result });
            }
            Effect::RunTask { job, execution } => {
                let node = &self.nodes[index];
                let input = node.blobs.get(&execution.input.hash).expect("it was fetched");
                let run = node.runtime.task(&execution.service, &execution.task, input);
                let after_ms = run.duration_us / 1_000;
                self.later(index, after_ms, Input::TaskDone { job, run });
            }
            Effect::RunVerify { job, execution } => {
                let node = &self.nodes[index];
                let Some((_, Outcome::Returned { status, output, .. })) = execution.answer() else {
                    panic!("nothing to verify");
                };
                let input = node.blobs.get(&execution.input.hash).expect("it was fetched");
                let output = node.blobs.get(&output.hash).expect("it was fetched");
                let (service, task) = (&execution.service, &execution.task);
                let run = node.runtime.verify(service, task, input, status, output);
                self.later(index, run.duration_us / 1_000, Input::VerifyDone { job, run });
            }
            Effect::Survey { job, execution } => {
                let needs = self.steps(index).survey(&execution);
                self.later(index, 0, Input::Surveyed { job, needs });
            }
            Effect::RunStep { job, execution, work } => {
                let (finding, duration_us) = self.run_step(index, &execution, work);
                self.later(index, duration_us / 1_000, Input::StepDone { job, finding });
            }
            Effect::Keep(althing_work::Finished { record, output, .. }) => {
                let node = &mut self.nodes[index];
                if let Some(output) = output {
                    node.blobs.insert(BlobRef::of(&output).hash, output);
                }
                node.journal
                    .remember(std::slice::from_ref(&record))
                    .expect("memory can be written");
                self.later(index, 0, Input::Kept { job: record.job(), kept: true });
            }
            Effect::Submit(operation) => {
                let now_ms = self.now_ms;
                let node = &mut self.nodes[index];
                node.submitted.push(operation.clone());
                node.outbox.push(operation, now_ms).expect("there is room");
            }
            Effect::Forget(execution) => {
                let node = &mut self.nodes[index];
                node.outbox.forget(&execution);
                node.journal.forget(&[execution]).expect("memory can be written");
            }
            Effect::Rescan => {
                let executions = open_executions(&self.state, &node_address(index));
                let time = self.block_time();
                self.later(index, 1, Input::Rescanned { time, executions });
            }
            Effect::Note(note) => self.nodes[index].notes.push(note),
        }
    }

    fn fetch(&mut self, index: usize, blob: &BlobRef, from: &[Holder]) -> bool {
        let needed = althing_work::in_use(&self.state).expect("the state can be read");
        assert!(needed.contains(&blob.hash), "a blob is asked for that nodes may have let go");
        let at = |holder: &Holder| -> Option<&Blobs> {
            let endpoint = match holder {
                Holder::Endpoint(endpoint) => *endpoint,
                Holder::Node(node) => {
                    query::offer(&self.state, &self.service, node).ok()??.endpoint
                }
            };
            if endpoint == HOME {
                return Some(&self.home);
            }
            let holder = self.nodes.iter().position(|n| n.address.0[0] == endpoint.0[0])?;
            self.nodes[holder].serves.then(|| &self.nodes[holder].blobs)
        };
        let found = from.iter().filter_map(at).find_map(|blobs| blobs.get(&blob.hash)).cloned();
        let blobs = &mut self.nodes[index].blobs;
        blobs.extend(found.map(|bytes| (blob.hash, bytes)));
        blobs.get(&blob.hash).is_some_and(|bytes| BlobRef::of(bytes) == *blob)
    }

    fn prepare(&self, index: usize, service: &Hash) -> Result<Runs, Unusable> {
        let record = query::service(&self.state, service).ok().flatten();
        let terms = record.ok_or(Unusable::Unavailable)?.terms;
        let file = |blob: &BlobRef| self.home.get(&blob.hash).ok_or(Unusable::Unavailable);
        let manifest =
            as_published(&terms, file(&terms.manifest)?).map_err(|_| Unusable::Refused)?;
        let runtime = &self.nodes[index].runtime;
        let module = terms.module.ok_or(Unusable::Refused)?;
        let prepared = runtime.prepare(service, file(&module)?, &manifest);
        prepared.map(|()| Runs::Inside).map_err(|_| Unusable::Refused)
    }

    pub(crate) fn home_loses(&mut self, hash: &Hash) {
        self.home.remove(hash);
    }

    // Time.

    /// One block of virtual time.
    pub(crate) fn pass(&mut self) {
        let until = self.now_ms + BLOCK_MS;
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now_ms = self.now_ms.max(at);
            if self.nodes[event.node].life == event.life {
                self.step(event.node, event.input);
                self.send(event.node);
            }
        }
        self.now_ms = until;
        for index in 0..self.nodes.len() {
            if self.driven != Some(index) {
                self.step(index, Input::Tick);
                self.send(index);
            }
        }
        self.block();
    }

    fn send(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        for signed in node.outbox.outgoing(self.now_ms, &Signer(node.address)) {
            let mut lose = self.lose.borrow_mut();
            if *lose > 0 {
                *lose -= 1;
            } else {
                self.mempool.push_back(signed);
            }
        }
    }

    fn block(&mut self) {
        self.height = self.height.next();
        let context = BlockContext {
            chain: CHAIN,
            height: self.height,
            round: Round(0),
            time: self.block_time(),
            // The blocks of this world come at an even pace.
            previous: TimeMs(self.block_time().0 - BLOCK_MS),
            proposer: VALIDATOR,
            beacon: tagged("beacon", &[&self.height.0.to_be_bytes()]),
        };
        let executed = self.execute(&context);
        self.state.apply(&executed.writes);
        for receipt in &executed.receipts {
            match receipt {
                Receipt::Execution(execution) => {
                    self.ended.insert(execution.id, execution.clone());
                    self.ended_ms.insert(execution.id, self.now_ms);
                }
                Receipt::Run(run) => drop(self.runs.insert(run.id, run.clone())),
                Receipt::Event(_) | Receipt::Transaction(_) => {}
            }
        }
        if let Some(driven) = self.driven {
            let news = News::of(&node_address(driven), (context.height, context.time), &executed);
            self.last_news = Some(news.expect("the block is sound"));
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].life > 0 {
                self.tell(index, &context, &executed);
            }
        }
    }

    fn tell(&mut self, index: usize, context: &BlockContext, executed: &Executed) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        let news = News::of(&node.address, (context.height, context.time), executed)
            .expect("the block is sound");
        let life = node.life;
        let fates = node.outbox.committed(news.height, news.nonce, &news.receipts, now_ms);
        self.step(index, Input::Committed { time: news.time, executions: news.executions });
        // A node that stopped in the middle never hears of the rest.
        if self.nodes[index].life == life {
            self.step(index, Input::Fates(fates));
        }
        self.send(index);
    }

    fn execute(&mut self, context: &BlockContext) -> Executed {
        let eip712 = eip712();
        let mut ledger = Ledger::begin(&self.state, context.clone(), &eip712, &Names)
            .expect("the state is sound");
        let mut again = VecDeque::new();
        while let Some(signed) = self.mempool.pop_front() {
            let authenticated = Authenticated::verify(signed.clone(), &eip712, CHAIN, &Names)
                .expect("tests sign well");
            let nonce = signed.transaction.nonce;
            let account = &signed.transaction.account;
            let committed = query::account(&self.state, account).expect("memory can be read").nonce;
            match ledger.apply(&authenticated).expect("the state is sound") {
                Applied::Included => {}
                // A gap may close; what is used up is dropped, as a mempool does.
                Applied::Refused(_)
                    if nonce >= committed && signed.transaction.expires > self.height =>
                {
                    again.push_back(signed);
                }
                Applied::Refused(_) => {}
            }
        }
        self.mempool = again;
        ledger.finish().expect("the state is sound")
    }

    /// Passes time until all of these have ended, or for at most `blocks`.
    pub(crate) fn settle(&mut self, executions: &[Hash], blocks: usize) {
        for _ in 0..blocks {
            if executions.iter().all(|id| self.ended.contains_key(id)) {
                return;
            }
            self.pass();
        }
        let open: Vec<_> = executions.iter().filter(|id| !self.ended.contains_key(id)).collect();
        panic!("still open after {blocks} blocks: {open:?}");
    }

    // What came of it.

    pub(crate) fn outcome(&self, id: &Hash) -> &Outcome {
        match self.ended.get(id).and_then(|execution| execution.conclusion.as_ref()) {
            Some(Conclusion::Accepted(outcome)) => outcome,
            other => panic!("no accepted outcome: {other:?}"),
        }
    }

    pub(crate) fn offences(&self, index: usize) -> Vec<Offence> {
        let address = node_address(index);
        let members = self.ended.values().flat_map(|execution| &execution.members);
        members.filter(|m| m.node == address).filter_map(|member| member.offence).collect()
    }

    pub(crate) fn fined(&self, index: usize) -> Amount {
        let offer = query::offer(&self.state, &self.service, &node_address(index));
        offer.expect("memory can be read").expect("every node offers").fined
    }

    pub(crate) fn took_part(&self, index: usize) -> usize {
        self.ended.values().filter(|execution| concerns(execution, &node_address(index))).count()
    }

    pub(crate) fn open(&self, id: &Hash) -> Option<Execution> {
        query::execution(&self.state, id).expect("memory can be read")
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// No job, record or deadline is left of what has ended.
    pub(crate) fn assert_tidy(&mut self) {
        self.pass();
        for node in &self.nodes {
            assert_eq!(node.machine.jobs(), 0);
            assert_eq!(node.journal.recall().expect("memory can be read"), []);
        }
        assert!(!self.state.entries().keys().any(|key| key.starts_with(keys::EXECUTIONS)));
    }
}

fn node(index: usize, conduct: Box<dyn Fn() -> Box<dyn Conduct>>) -> Node {
    let address = node_address(index);
    Node {
        address,
        machine: Machine::new(CONFIG, address, secret(index)),
        outbox: Outbox::new(World::outbox_config(), address, Height(0), Nonce(0)),
        blobs: Blobs::new(),
        journal: MemoryJournal::default(),
        runtime: runtime(u64::try_from(index).expect("few nodes")),
        notes: Vec::new(),
        life: 0,
        effects: 0,
        crash_after: Vec::new(),
        conduct,
        config: CONFIG,
        submitted: Vec::new(),
        serves: true,
    }
}
