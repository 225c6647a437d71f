//! Many runs at once: an event costs what it concerns, however many others wait.

use std::cell::Cell;
use std::collections::BTreeMap;

use althing_keys::Secp256k1;
use althing_ledger::{Applied, Authenticated, BlockContext, Ledger, keys, query};
use althing_state::{Entry, Fault, MemoryState, View};
use althing_types::{Eip712, Hash, KeySource, Operation, Round, keccak, key_hash};

use crate::common::flows::{after, all, yields};
use crate::common::{CHAIN, World, tokens};

/// Counts what is read through it.
struct Counted<'a> {
    state: &'a MemoryState,
    reads: Cell<usize>,
    entries: Cell<usize>,
}

impl View for Counted<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.reads.set(self.reads.get() + 1);
        self.state.read(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let found = self.state.range(prefix, after, limit)?;
        self.reads.set(self.reads.get() + 1);
        self.entries.set(self.entries.get() + found.len());
        Ok(found)
    }
}

/// How many reads, and entries of ranges, a block with one observation takes.
fn reads_of(world: &World, operation: Operation) -> (usize, usize) {
    let chain = &world.chain;
    let node = &world.nodes[0];
    let height = chain.height.next();
    let context = BlockContext {
        chain: CHAIN,
        height,
        round: Round(0),
        time: chain.time.after(1),
        previous: chain.time,
        proposer: chain.validators.proposer(height, Round(0)).unwrap().address,
        beacon: keccak(&[b"beacon"]),
    };
    let eip712 = Eip712::new(CHAIN);
    let nonce = chain.account(&node.address()).nonce;
    let signed = node.sign(chain.transaction(node.address(), nonce, vec![operation]));
    let counted = Counted { state: &chain.state, reads: Cell::new(0), entries: Cell::new(0) };
    let mut ledger = Ledger::begin(&counted, context, &eip712, &Secp256k1).unwrap();
    let transaction = Authenticated::decode(&signed.encode(), &eip712, CHAIN, &Secp256k1).unwrap();
    assert_eq!(ledger.apply(&transaction).unwrap(), Applied::Included);
    assert!(!ledger.finish().unwrap().run_changes.is_empty(), "the event wakes its run");
    (counted.reads.get(), counted.entries.get())
}

/// Deploys an application whose first step yields a key and whose second waits for it.
fn cart(world: &mut World) -> Hash {
    let mut address = world.step_plan("address", all(&[]));
    address.yields = 1;
    let mut processing = world.step_plan("processing", after(0));
    processing.wait = Some(world.wait_for(KeySource::Yielded { step: 0, index: 0 }));
    let plan = world.plan(vec![address, processing]);
    world.deployed("shop/cart@1", plan)
}

#[test]
fn a_hundred_thousand_waiting_runs_cost_an_event_not_one_read_more() {
    let mut world = World::new(3);
    let application = cart(&mut world);
    let run = world.started(1);
    world.work(|_| yields(&["\"0xabc\""]));
    let wakes = world.observation(2, "\"0xabc\"");
    let alone = reads_of(&world, wakes.clone());

    let record = world.run_record(&run);
    let (own, stamp) = {
        let mut waits = world.chain.state.range(b"k", None, 10).unwrap();
        waits.remove(0)
    };
    assert_eq!(keys::waiting(&own), Some((run, 1)));
    let mut writes = BTreeMap::new();
    for n in 0..100_000_u64 {
        let id = keccak(&[b"run", &n.to_be_bytes()]);
        let mut other = record.clone();
        (other.id, other.run.id) = (id, id);
        let topic = keccak(&[b"topic", &n.to_be_bytes()]);
        writes.insert(keys::run(&id), Some(borsh::to_vec(&other).unwrap()));
        writes.insert(keys::wait(&topic, &id, 1), Some(stamp.clone()));
        writes.insert(keys::open_run(&application, &id), Some(vec![]));
    }
    world.chain.state.apply(&writes);
    assert_eq!(query::runs(&world.chain.state, None, None, usize::MAX).unwrap().len(), 100_001);
    assert_eq!(reads_of(&world, wakes), alone);
}

#[test]
fn ten_thousand_open_runs_all_end_though_one_event_wakes_them_over_many_blocks() {
    const RUNS: u64 = 10_000;
    let mut world = World::new(3);
    let mut deploy = {
        let mut first = world.step_plan("first", all(&[]));
        first.yields = 1;
        let mut second = world.step_plan("second", after(0));
        second.wait = Some(world.wait_for(KeySource::Constant(key_hash(b"\"all\""))));
        world.deploy_of("shop/all@1", world.plan(vec![first, second]))
    };
    deploy.deposit = tokens(90_000);
    world.chain.done(&world.caller, Operation::Deploy(deploy));
    // Ten tokens and two for an event: what 10,000 runs cost is more than the deposit.
    let node = world.nodes[0].clone();
    for batch in 0..RUNS / 1_000 {
        let events = (0..1_000).map(|n| world.observation(batch * 1_000 + n, "\"start\""));
        let events: Vec<Operation> = events.collect();
        world.chain.block(|block| {
            for part in events.chunks(200) {
                block.send(&node, part.to_vec());
            }
        });
    }
    world.chain.wait(1);
    assert_eq!(world.open_runs().len(), 10_000);
    let waits = |world: &World| world.chain.state.range(b"k", None, usize::MAX).unwrap().len();
    world.work(|_| yields(&["1"]));
    // The deposit reaches for some 7,500 of them; the others lack money.
    let waiting = waits(&world);
    assert!(waiting > 7_000, "{waiting}");
    world.event(1 << 40, "\"all\"");
    assert_eq!(waits(&world), waiting - 999, "one listener and 999 waits in the first block");
    let mut blocks = 1;
    while waits(&world) > 0 {
        world.chain.wait(1);
        blocks += 1;
    }
    assert_eq!(blocks, (waiting + 1).div_ceil(1_000));
}

#[test]
fn how_many_waits_a_block_looks_at_is_a_parameter_of_the_chain() {
    let parameters =
        althing_types::Parameters { fan_out_per_block: 4, ..crate::common::parameters() };
    let mut world = World::with(parameters, 3);
    let first = world.step_plan("first", all(&[]));
    let mut second = world.step_plan("second", after(0));
    second.wait = Some(world.wait_for(KeySource::Constant(key_hash(b"\"all\""))));
    let plan = world.plan(vec![first, second]);
    world.deployed("shop/all@1", plan);
    for event in 0..10 {
        world.event(event, "\"start\"");
    }
    world.work(|_| crate::common::flows::done());
    let waits = |world: &World| world.chain.state.range(b"k", None, usize::MAX).unwrap().len();
    assert_eq!(waits(&world), 10);
    world.event(1 << 40, "\"all\"");
    // One listener first, then the waits, four in a block.
    let mut left = vec![waits(&world)];
    while waits(&world) > 0 {
        world.chain.wait(1);
        left.push(waits(&world));
    }
    assert_eq!(left, [7, 3, 0]);
}
