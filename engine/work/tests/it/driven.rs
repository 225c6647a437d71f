//! The driver between the machine and the ports: one node that is driven, the others simulated.
//!
//! The clock is virtual: it goes on only when nothing is left to do, so a slow machine is no fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use althing_ledger::Offence;
use althing_state::MemoryState;
use althing_types::{
    Address, Amount, BlobRef, EndpointId, Hash, Height, Operation, SignedTransaction, TimeMs,
    Transfer,
};
use althing_work::driver::{OpenBlock, Opening, Ports, WorkFault, drive};
use althing_work::port::{
    Blobs, BoxFuture, Journal, LedgerAccess, Newest, NoPrograms, NoSecrets, PortError, Submit,
    Unobserved,
};
use althing_work::simulated::{MemoryJournal, TableRuntime};
use althing_work::{Config, Machine, News, Record, duty, work};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::world::{
    BLOCK_MS, CONFIG, Signer, World, honest, node_address, open_executions, right, runtime, secret,
};

type Files = Arc<Mutex<BTreeMap<Hash, Vec<u8>>>>;

#[derive(Clone)]
struct Chain(Arc<Mutex<(MemoryState, Height, TimeMs)>>);

impl LedgerAccess for Chain {
    type Snapshot = MemoryState;
    fn newest(&self) -> Result<Newest<MemoryState>, PortError> {
        let (state, height, time) = locked(&self.0).clone();
        Ok(Newest { state, height, time })
    }
}

/// What the payer's node has can be fetched from anywhere.
struct TestBlobs {
    here: Files,
    elsewhere: Files,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(files: &Files, hash: &Hash) -> Option<Vec<u8>> {
    locked(files).get(hash).cloned()
}

impl Blobs for TestBlobs {
    fn local(&self, blob: &BlobRef, _of: &[Hash]) -> Result<Option<Vec<u8>>, PortError> {
        Ok(at(&self.here, &blob.hash))
    }
    fn keep(&self, bytes: &[u8]) -> Result<(), PortError> {
        let mut here = locked(&self.here);
        here.insert(BlobRef::of(bytes).hash, bytes.to_vec());
        Ok(())
    }
    fn fetch(
        &self,
        blob: BlobRef,
        _from: EndpointId,
        _execution: Option<Hash>,
    ) -> BoxFuture<Option<Vec<u8>>> {
        let bytes = at(&self.elsewhere, &blob.hash);
        Box::pin(async move { bytes })
    }
}

#[derive(Clone, Default)]
struct Pool(Arc<Mutex<Vec<SignedTransaction>>>);

impl Submit for Pool {
    fn submit(&self, transaction: SignedTransaction) -> Result<(), PortError> {
        locked(&self.0).push(transaction);
        Ok(())
    }
}

/// A journal on a disk that is full.
struct Broken;

impl Broken {
    fn error() -> PortError {
        PortError { operation: "writing", source: "no space left on the disk".into() }
    }
}

impl Journal for Broken {
    fn remember(&self, _: &[Record]) -> Result<(), PortError> {
        Err(Self::error())
    }
    fn forget(&self, _: &[Hash]) -> Result<(), PortError> {
        Err(Self::error())
    }
    fn recall(&self) -> Result<Vec<Record>, PortError> {
        Ok(Vec::new())
    }
}

/// Node 0 of a world, driven by the driver.
struct Driven {
    world: World,
    chain: Chain,
    pool: Pool,
    here: Files,
    elsewhere: Files,
    runtime: Arc<TableRuntime>,
    news: broadcast::Sender<Arc<News>>,
    requests: mpsc::Sender<Operation>,
    opens: mpsc::Sender<Opening>,
    stop: Option<oneshot::Sender<()>>,
    driver: JoinHandle<Result<(), WorkFault>>,
}

impl Driven {
    fn new(journal: Arc<dyn Journal>, room_for_news: usize) -> Self {
        Self::with(CONFIG, journal, room_for_news)
    }

    fn with(config: Config, journal: Arc<dyn Journal>, room_for_news: usize) -> Self {
        let mut world = World::new(honest(4));
        world.drive_elsewhere(0);
        let chain = Chain(Arc::new(Mutex::new(world.newest())));
        let (pool, here, elsewhere) = (Pool::default(), Files::default(), Files::default());
        let (news, heard) = broadcast::channel(room_for_news);
        let (stop, stopped) = oneshot::channel();
        let (requests, asked) = mpsc::channel(1);
        let (opens, opened) = mpsc::channel(1);
        let runtime = Arc::new(runtime(0));
        let ports = Ports {
            ledger: Arc::new(chain.clone()),
            blobs: Arc::new(TestBlobs { here: here.clone(), elsewhere: elsewhere.clone() }),
            runtime: Arc::<TableRuntime>::clone(&runtime),
            journal,
            submit: Arc::new(pool.clone()),
            signer: Arc::new(Signer(node_address(0))),
            native: Arc::new(NoPrograms),
            vault: Arc::new(NoSecrets),
            observations: Arc::new(Unobserved),
        };
        let machine = Machine::new(config, node_address(0), secret(0));
        let driver = tokio::spawn(async move {
            let stop = async { stopped.await.unwrap_or(()) };
            drive(machine, World::outbox_config(), ports, heard, asked, opened, stop).await
        });
        let stop = Some(stop);
        Self { world, chain, pool, here, elsewhere, runtime, news, requests, opens, stop, driver }
    }

    /// One block. The driver's files, state and news follow.
    fn block(&mut self) {
        let sent = std::mem::take(&mut *locked(&self.pool.0));
        for signed in sent {
            self.world.inject(signed);
        }
        // The others fetch from this node, too.
        self.world.nodes[0].blobs = locked(&self.here).clone();
        self.world.pass();
        *locked(&self.elsewhere) = self.world.all_files();
        *locked(&self.chain.0) = self.world.newest();
        let news = self.world.last_news.take().expect("every block has news");
        self.news.send(Arc::new(news)).expect("the driver listens");
    }

    /// Blocks until these have ended. The clock stands still while the driver's threads work.
    async fn settle(&mut self, executions: &[Hash]) {
        for _ in 0..4_000 {
            if executions.iter().all(|id| self.world.ended.contains_key(id)) {
                return;
            }
            self.block();
            tokio::time::sleep(Duration::from_millis(BLOCK_MS)).await;
        }
        panic!("the executions did not end");
    }

    async fn stop(mut self) -> (World, Arc<TableRuntime>) {
        let stop = self.stop.take().expect("stopped once");
        stop.send(()).expect("the driver runs");
        self.driver.await.expect("no panic").expect("no fault");
        (self.world, self.runtime)
    }
}

const INPUTS: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(start_paused = true)]
async fn a_driven_node_does_its_part_and_stops_when_told() {
    let mut driven = Driven::new(Arc::new(MemoryJournal::default()), 64);
    let ids = driven.world.call("total", 3, &INPUTS);
    driven.settle(&ids).await;
    let (world, runtime) = driven.stop().await;
    assert_eq!(runtime.tasks_run(), 4);
    assert_eq!(world.offences(0), []);
    for (id, input) in ids.iter().zip(INPUTS) {
        assert_eq!(*world.outcome(id), right("total", input));
    }
}

#[tokio::test(start_paused = true)]
async fn a_driven_node_judges_answers() {
    let mut driven = Driven::new(Arc::new(MemoryJournal::default()), 64);
    let ids = driven.world.call("factor", 3, &INPUTS);
    driven.settle(&ids).await;
    let (world, runtime) = driven.stop().await;
    assert_eq!(runtime.tasks_run() + runtime.verifications_run(), 4);
    assert_eq!(world.offences(0), []);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_missed_blocks_reads_the_state_and_goes_on() {
    let mut driven = Driven::new(Arc::new(MemoryJournal::default()), 1);
    driven.block();
    tokio::time::sleep(Duration::from_millis(BLOCK_MS)).await;
    // Without checkers nothing changes after the draw until the executor answers.
    let inputs = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let ids = driven.world.call("total", 0, &inputs);
    // The draw falls into blocks of which the driver only hears that it missed them: nothing lets
    // it run in between.
    for _ in 0..4 {
        driven.block();
    }
    driven.settle(&ids).await;
    let (world, runtime) = driven.stop().await;
    assert!(runtime.tasks_run() > 0, "the draw never chose node 0");
    assert_eq!(world.offences(0), []);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_journal_fails_stops_and_seals_nothing() {
    let mut driven = Driven::new(Arc::new(Broken), 64);
    let ids = driven.world.call("total", 3, &INPUTS[..1]);
    for _ in 0..4_000 {
        if driven.driver.is_finished() {
            break;
        }
        driven.block();
        tokio::time::sleep(Duration::from_millis(BLOCK_MS)).await;
    }
    let fault = driven.driver.await.expect("no panic").expect_err("the journal failed");
    assert!(matches!(fault, WorkFault::Journal(_)), "{fault}");
    assert!(locked(&driven.pool.0).is_empty());
    driven.world.settle(&ids, 200);
    assert_eq!(driven.world.offences(0), [Offence::Absence]);
}

fn gift() -> Operation {
    Operation::Transfer(Transfer { to: Address([9; 20]), amount: Amount::from_base_units(1) })
}

impl Driven {
    /// Whether the execution asks something of the driven node.
    fn has_job(&self, id: &Hash) -> bool {
        let node = node_address(0);
        self.world.open(id).is_some_and(|execution| {
            duty(&execution, &node).is_some() && work(&execution, &node).is_some()
        })
    }

    /// Whether the driver has submitted the gift.
    fn has_given(&self) -> bool {
        let sent = locked(&self.pool.0);
        let gave = |signed: &SignedTransaction| signed.transaction.operations.contains(&gift());
        sent.iter().any(gave)
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_enough_short_tasks_brings_nothing_new() {
    let config = Config { short_jobs_max: 1, ..CONFIG };
    let mut driven = Driven::with(config, Arc::new(MemoryJournal::default()), 64);
    let ids = driven.world.call("total", 3, &INPUTS);
    // All four nodes are drawn: until the four executions have ended, node 0 has jobs.
    let mut asked = false;
    let mut waited = 0;
    for _ in 0..4_000 {
        let has_jobs = ids.iter().any(|id| driven.has_job(id));
        if has_jobs && !asked {
            driven.requests.send(gift()).await.expect("the driver runs");
            asked = true;
        }
        if asked && has_jobs {
            assert!(!driven.has_given(), "it was brought while short tasks were open");
            waited += 1;
        }
        if asked && driven.has_given() {
            break;
        }
        driven.block();
        tokio::time::sleep(Duration::from_millis(BLOCK_MS)).await;
    }
    assert!(asked && waited > 1, "there was nothing to wait for");
    assert!(driven.has_given(), "it was never brought");
    driven.settle(&ids).await;
    driven.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_builds_a_block_is_told_once_its_answers_are_submitted() {
    let mut driven = Driven::new(Arc::new(MemoryJournal::default()), 64);
    let ids = driven.world.call("total", 3, &INPUTS);
    driven.settle(&ids).await; // the service is ready
    driven.world.call("total", 3, &["e"]);
    driven.world.pass();
    driven.world.pass();
    *locked(&driven.elsewhere) = driven.world.all_files();
    let executions = open_executions(&driven.world.state, &node_address(0));
    let [mut owed]: [_; 1] = executions.try_into().expect("one is open");
    owed.checkers = 0;
    owed.members.retain(|member| member.node == node_address(0));
    let height = owed.changed.next();
    let id = owed.id;
    owed.due = owed.due.after(60_000);
    let (answered, told) = std::sync::mpsc::sync_channel(1);
    let executions = vec![owed];
    let open = OpenBlock { height, executions, alone: true };
    for opening in [Opening::Asks(open), Opening::Waits(answered)] {
        driven.opens.send(opening).await.expect("the driver runs");
    }
    tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(60)))
        .await
        .expect("no panic")
        .expect("it is told");
    let sent = locked(&driven.pool.0);
    let is_answer = |operation: &Operation| matches!(operation, Operation::Answer(answer) if answer.execution == id);
    assert!(sent.iter().any(|signed| signed.transaction.operations.iter().any(is_answer)));
}
