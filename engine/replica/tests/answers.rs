//! What a proposer owes it answers in the block that asks for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use althing_ledger::{OperationResult, query};
use althing_replica::application::{Application, Fault};
use althing_replica::store::Store as _;
use althing_replica::{MemoryStore, Owed, OwnWork, Replica, Subject};
use althing_types::{
    Answer, BlobRef, Block, BlockId, EndpointId, Hash, Height, Offer, Operation, Outcome, Publish,
    Round,
};
use common::{Node, Time, World, account, call, service, transaction, validator_key};

const ROUND: Round = Round(0);
/// Longer than any block waits.
const LONG_MS: u64 = 1_000;

type Shared = Arc<Mutex<Replica>>;

/// What a worker does when it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It answers.
    Answers,
    /// It answers, and its answer brings another question.
    AsksOn,
    /// It answers, and takes its time.
    TakesLong,
    /// Its outputs cannot be made durable.
    CannotFlush,
}

struct Worker {
    shared: Shared,
    doing: Doing,
    time: Time,
    asked: AtomicUsize,
    waited: AtomicUsize,
    owed: Mutex<Vec<Owed>>,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Replica> {
    shared.lock().unwrap()
}

fn submit(shared: &Shared, key: &althing_keys::AccountKey, operation: Operation) {
    let mut replica = lock(shared);
    let known = query::account(&replica.reader().view(), &key.address()).unwrap();
    let nonce = replica.mempool().next_nonce(&key.address(), &known);
    replica.submit(&transaction(key, nonce, vec![operation]).encode()).unwrap();
}

impl OwnWork for Worker {
    fn ask(&self, owed: Owed) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        for execution in &owed.executions {
            let outcome = Outcome::Returned {
                status: "done".parse().unwrap(),
                output: BlobRef::of(b"{\"total\":42}"),
                keys: Vec::new(),
            };
            let answer = Answer { execution: execution.id, round: execution.round, outcome };
            submit(&self.shared, &validator_key(0), Operation::Answer(answer));
            if self.doing == Doing::AsksOn {
                submit(&self.shared, &account(2), Operation::Call(call(service().id())));
            }
        }
        if self.doing == Doing::TakesLong {
            submit(&self.shared, &account(2), Operation::Call(call(service().id())));
            self.time.add(LONG_MS);
        }
        self.owed.lock().unwrap().push(owed);
    }

    fn answers(&self, within_ms: u64) {
        assert_eq!(within_ms == 0, self.doing == Doing::TakesLong);
        self.waited.fetch_add(1, Ordering::SeqCst);
    }

    fn flush(&self) -> Result<(), Fault> {
        match self.doing {
            Doing::CannotFlush => Err(Fault::new("making outputs durable", "the disk is full")),
            Doing::Answers | Doing::AsksOn | Doing::TakesLong => Ok(()),
        }
    }
}

/// A node that proposes next, and alone offers a service that was called.
struct Stage {
    world: World,
    shared: Shared,
    store: Arc<MemoryStore>,
    worker: Arc<Worker>,
    height: Height,
    call: Hash,
}

impl Stage {
    fn new(validators: u64, doing: Doing) -> Self {
        let mut world = World::new(validators);
        let key = validator_key(0);
        world.ask(&account(0), Operation::Publish(Publish { terms: service().into() }));
        let offer = Offer {
            service: service().id(),
            stake: althing_types::Amount::from_tokens(50),
            term_ms: 1_000_000,
            owner: key.address(),
            endpoint: EndpointId([1; 32]),
            labels: vec![],
        };
        world.ask(&key, Operation::Offer(offer));
        world.round();
        while world.proposer(ROUND) != 0 {
            world.round();
        }
        let call = world.ask(&account(1), Operation::Call(call(service().id())));
        world.time.add(10);
        let Node { replica, store, .. } = world.nodes.remove(0);
        let height = replica.next_height();
        let shared = Arc::new(Mutex::new(replica));
        let worker = Arc::new(Worker {
            shared: shared.clone(),
            doing,
            time: world.time.clone(),
            asked: AtomicUsize::new(0),
            waited: AtomicUsize::new(0),
            owed: Mutex::default(),
        });
        lock(&shared).on_owed(worker.clone());
        Self { world, shared, store, worker, height, call }
    }

    fn propose(&self) -> Result<(BlockId, Vec<u8>), Fault> {
        Replica::propose_shared(&self.shared, self.height, ROUND)
    }

    /// The execution that the call has made, once its block is committed.
    fn execution(&self) -> Hash {
        let archived = lock(&self.shared).reader().archived(&Subject::Transaction(self.call));
        let leaf = archived.unwrap().expect("the call is in the block").leaf;
        match althing_types::canonical::decode(&leaf, 1 << 20, "receipt").unwrap() {
            althing_ledger::Receipt::Transaction(receipt) => match receipt.results[0] {
                OperationResult::Created(id) => id,
                ref other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_block_that_asks_has_the_answer_and_every_node_finds_it_valid() {
    let mut stage = Stage::new(4, Doing::Answers);
    let (id, body) = stage.propose().unwrap();
    assert_eq!(Block::decode(&body).unwrap().transactions.len(), 2, "the call, and its answer");
    let proposer = validator_key(0).address();
    for node in &mut stage.world.nodes {
        let answer = node.replica.receive(stage.height, ROUND, proposer, &body).unwrap();
        assert_eq!(answer, Some((id, true)), "{:?}", node.replica.objection(&id));
    }
    let certificate = stage.world.certificate(stage.height, ROUND, id);
    lock(&stage.shared).commit(certificate).unwrap();
    let execution = Subject::Execution(stage.execution());
    let settled = lock(&stage.shared).reader().archived(&execution).unwrap().expect("it has ended");
    assert_eq!(settled.height, stage.height);
    let owed = stage.worker.owed.lock().unwrap();
    let [Owed { height, alone: false, executions }] = &owed[..] else { panic!("{owed:?}") };
    assert_eq!((*height, executions.len()), (stage.height, 1));
    assert!(lock(&stage.shared).mempool().is_empty());
}

#[test]
fn what_a_transaction_asks_for_is_worked_on_beside_those_that_follow() {
    let stage = Stage::new(1, Doing::Answers);
    for n in [1, 2] {
        submit(&stage.shared, &account(n), Operation::Call(call(service().id())));
    }
    let (_, body) = stage.propose().unwrap();
    let asked: Vec<usize> =
        stage.worker.owed.lock().unwrap().iter().map(|it| it.executions.len()).collect();
    assert_eq!(asked, [1, 1, 1], "each call when it is in the block, not all at its end");
    assert_eq!(stage.worker.waited.load(Ordering::SeqCst), 1, "the block waits once for all");
    assert_eq!(Block::decode(&body).unwrap().transactions.len(), 6, "with an answer to each");
}

#[test]
fn asked_again_the_node_proposes_the_same_block() {
    let stage = Stage::new(1, Doing::Answers);
    let first = stage.propose().unwrap();
    assert_eq!(stage.propose().unwrap(), first);
    assert_eq!(stage.worker.asked.load(Ordering::SeqCst), 1);
    assert!(stage.worker.owed.lock().unwrap()[0].alone, "nobody else proposes");
}

#[test]
fn answers_that_bring_new_questions_end_with_the_rounds() {
    let stage = Stage::new(1, Doing::AsksOn);
    let (_, body) = stage.propose().unwrap();
    let asked = stage.worker.asked.load(Ordering::SeqCst);
    assert_eq!(asked, 16);
    assert_eq!(Block::decode(&body).unwrap().transactions.len(), 1 + 2 * asked);
}

#[test]
fn a_block_waits_for_answers_only_so_long() {
    for validators in [1, 4] {
        let stage = Stage::new(validators, Doing::TakesLong);
        let (_, body) = stage.propose().unwrap();
        assert_eq!(stage.worker.asked.load(Ordering::SeqCst), 1, "there was another question");
        assert_eq!(Block::decode(&body).unwrap().transactions.len(), 3);
    }
}

#[test]
fn a_block_whose_outputs_are_not_durable_does_not_go_out() {
    let stage = Stage::new(1, Doing::CannotFlush);
    assert_eq!(stage.propose().unwrap_err().operation, "making outputs durable");
    assert!(stage.store.proposals().unwrap().is_empty());
}
