//! Events: what emitters agree on, what they earn, and what contradiction and silence cost.

use althing_ledger::{
    EventRecord, EventState, OfferStatus, OperationResult, Receipt, Standing, dilution, query,
};
use althing_types::{
    Amount, BlobRef, Emitters, Hash, Observe, Operation, Publish, Resume, Withdraw, event_key,
    key_hash,
};

use crate::common::world::{STAKE, STAKE_MIN, name, offer_of, terms};
use crate::common::{World, actor, parameters, tokens};
use crate::transfers::transfer;

/// Agreed on by value, within 0.05.
const CHARGED: &str = "charged";
/// Agreed on by exact data.
pub(crate) const READ: &str = "read";
/// One emitter is believed.
const HOOKED: &str = "hooked";
const WINDOW_MS: u64 = 1_000;

fn observe(world: &World, event: &str, id: u8, measured: Vec<i64>) -> Observe {
    Observe {
        service: world.service,
        event: name(event),
        id: Hash([id; 32]),
        keys: vec![key_hash(b"\"car-7\"")],
        data: BlobRef::of(&[b'd', id]),
        measured,
    }
}

/// A meter's reading, in thousandths.
fn charged(world: &World, id: u8, kwh: i64) -> Operation {
    Operation::Observe(observe(world, CHARGED, id, vec![kwh]))
}

pub(crate) fn read(world: &World, id: u8, data: &[u8]) -> Operation {
    let data = BlobRef::of(data);
    Operation::Observe(Observe { data, ..observe(world, READ, id, vec![]) })
}

pub(crate) fn key(world: &World, event: &str, id: u8) -> Hash {
    event_key(&world.service, &name(event), &Hash([id; 32]))
}

/// The event while its window lasts.
fn open(world: &World, key: &Hash) -> Option<EventRecord> {
    query::event(&world.chain.state, key).unwrap()
}

/// All final records of the event, in order.
fn settled(world: &World, key: &Hash) -> Vec<EventRecord> {
    let of = |receipt: &Receipt| match receipt {
        Receipt::Event(event) if event.key == *key => Some(event.clone()),
        Receipt::Event(_) | Receipt::Execution(_) | Receipt::Run(_) | Receipt::Transaction(_) => {
            None
        }
    };
    world.chain.receipts.iter().filter_map(|(_, receipt)| of(receipt)).collect()
}

pub(crate) fn the_only(world: &World, key: &Hash) -> EventRecord {
    let records = settled(world, key);
    let [record] = records.as_slice() else { panic!("settled once: {records:?}") };
    record.clone()
}

/// Node `n` says it, in a block of its own.
fn says(world: &mut World, n: usize, operation: Operation) -> OperationResult {
    let node = world.nodes[n].clone();
    world.chain.send(&node, operation)
}

fn rejected(world: &mut World, n: usize, operation: Operation) -> &'static str {
    let node = world.nodes[n].clone();
    world.chain.rejected(&node, operation)
}

fn stake(world: &World, n: usize) -> Amount {
    world.record(&world.nodes[n].address()).stake
}

fn fined(world: &World, event: &EventRecord, n: usize) -> Amount {
    event.observation(&world.nodes[n].address()).unwrap().fine
}

/// Meters that measured these; `None` is mute. Gives the settled event.
fn session(world: &mut World, id: u8, readings: &[Option<i64>]) -> EventRecord {
    for (n, reading) in readings.iter().enumerate() {
        if let Some(kwh) = reading {
            let operation = charged(world, id, *kwh);
            let result = says(world, n, operation);
            assert!(!matches!(result, OperationResult::Rejected(_)), "{result:?}");
        }
    }
    world.chain.wait(WINDOW_MS);
    the_only(world, &key(world, CHARGED, id))
}

#[test]
fn a_majority_that_agrees_makes_an_event_valid_at_once() {
    let mut world = World::new(5);
    let event = key(&world, READ, 1);
    let truth = read(&world, 1, b"truth");
    assert_eq!(says(&mut world, 0, truth.clone()), OperationResult::Created(event));
    assert_eq!(says(&mut world, 1, truth.clone()), OperationResult::Done);
    assert_eq!(open(&world, &event).unwrap().state, EventState::Open, "two of five");
    says(&mut world, 2, truth.clone());
    let decided = open(&world, &event).unwrap();
    assert_eq!(decided.state, EventState::Valid);
    assert_eq!(decided.decided_at, world.chain.time);
    assert_eq!((decided.base, decided.homes.len()), (BlobRef::of(b"truth"), 3));
    assert_eq!(decided.keys, [key_hash(b"\"car-7\"")]);

    says(&mut world, 3, truth);
    world.chain.wait(WINDOW_MS);
    let settled = the_only(&world, &event);
    assert_eq!((settled.state, settled.observations.len()), (EventState::Valid, 4));
    assert_eq!(settled.decided_at, decided.decided_at, "decided once");
    assert!(open(&world, &event).is_none());
    let happened = query::happened(&world.chain.state, &event).unwrap().unwrap();
    assert_eq!((happened.state, happened.height), (EventState::Valid, world.chain.height));
}

#[test]
fn observations_of_one_block_count_one_after_the_other() {
    let mut world = World::new(3);
    let operation = read(&world, 1, b"truth");
    let World { chain, nodes, .. } = &mut world;
    chain.block(|block| {
        for node in nodes.iter() {
            block.send(node, vec![operation.clone()]);
        }
    });
    let event = the_only(&world, &key(&world, READ, 1));
    assert_eq!(event.state, EventState::Valid, "all have spoken: nothing is waited for");
    assert!(event.absent.is_empty());
}

#[test]
fn events_of_one_transaction_stand_beside_each_other() {
    let mut world = World::new(1);
    let node = world.nodes[0].clone();
    let operations: Vec<Operation> = (1..=20).map(|id| charged(&world, id, 5)).collect();
    let receipts = world.chain.block(|block| block.send(&node, operations));
    let results = &receipts[0].as_ref().unwrap().results;
    assert!(results.iter().all(|result| matches!(result, OperationResult::Created(_))));
    for id in 1..=20 {
        assert_eq!(the_only(&world, &key(&world, CHARGED, id)).state, EventState::Valid);
    }
}

#[test]
fn a_lone_emitter_is_a_majority() {
    let mut world = World::new(1);
    let operation = charged(&world, 1, 7_000);
    says(&mut world, 0, operation);
    let event = the_only(&world, &key(&world, CHARGED, 1));
    assert_eq!((event.state, event.measured), (EventState::Valid, vec![7_000]));
}

#[test]
fn with_one_emitter_the_first_is_believed_and_the_second_is_a_duplicate() {
    let mut world = World::new(5);
    let hooked = Operation::Observe(observe(&world, HOOKED, 1, vec![]));
    let event = key(&world, HOOKED, 1);
    assert_eq!(says(&mut world, 3, hooked.clone()), OperationResult::Created(event));
    let record = the_only(&world, &event);
    assert_eq!((record.state, record.office.len()), (EventState::Valid, 1));
    assert_eq!(rejected(&mut world, 3, hooked.clone()), "LED-0044");
    assert_eq!(rejected(&mut world, 1, hooked.clone()), "LED-0044");
    world.chain.wait(100 * 86_400_000);
    assert_eq!(rejected(&mut world, 1, hooked), "LED-0044", "an id counts once for ever");
    assert_eq!(settled(&world, &event).len(), 1);
}

#[test]
fn too_few_observations_expire_and_fine_nobody() {
    let mut world = World::new(4);
    let operation = read(&world, 1, b"seen by two");
    says(&mut world, 0, operation.clone());
    says(&mut world, 1, operation.clone());
    world.chain.wait(WINDOW_MS);
    let event = the_only(&world, &key(&world, READ, 1));
    assert_eq!(event.state, EventState::Expired);
    assert!((0..4).all(|n| stake(&world, n) == STAKE), "there may have been nothing to see");
    assert_eq!(query::happened(&world.chain.state, &event.key).unwrap(), None);

    // Else one emitter could use up the ids of the events to come.
    for n in 0..3 {
        says(&mut world, n, operation.clone());
    }
    world.chain.wait(WINDOW_MS);
    let states: Vec<EventState> =
        settled(&world, &event.key).iter().map(|event| event.state).collect();
    assert_eq!(states, [EventState::Expired, EventState::Valid]);
}

#[test]
fn emitters_that_do_not_agree_contradict_each_other_and_nobody_is_fined() {
    let mut world = World::new(4);
    for (n, data) in [b"one", b"two", b"six", b"ten"].into_iter().enumerate() {
        let operation = read(&world, 1, data);
        says(&mut world, n, operation);
    }
    let event = the_only(&world, &key(&world, READ, 1));
    assert_eq!(event.state, EventState::Contradicted);
    assert_eq!(event.statements.len(), 4, "what was said is there to be seen");
    assert!(event.observations.iter().all(|said| said.standing == Standing::Open));
    assert!((0..4).all(|n| stake(&world, n) == STAKE));
    let again = read(&world, 1, b"one");
    assert_eq!(rejected(&mut world, 0, again), "LED-0045");
}

#[test]
fn a_majority_of_those_who_took_part_decides_at_the_end() {
    let mut world = World::new(5);
    for n in 0..2 {
        let operation = read(&world, 1, b"truth");
        says(&mut world, n, operation);
    }
    let other = read(&world, 1, b"error");
    says(&mut world, 2, other);
    let event = key(&world, READ, 1);
    assert_eq!(open(&world, &event).unwrap().state, EventState::Open, "two of five agree");
    world.chain.wait(WINDOW_MS);
    let event = the_only(&world, &event);
    assert_eq!(event.state, EventState::Valid, "three took part, two of them agree");
    assert_eq!(event.base, BlobRef::of(b"truth"));
    assert!(!fined(&world, &event, 2).is_zero());
}

/// A service whose events ask for a majority of at least five nodes; two are in office.
fn small_office() -> World {
    let mut world = World::new(3);
    let mut terms = terms("acme/watch@1.0.0");
    for event in &mut terms.events {
        event.emitters = Emitters::AtLeast(5);
    }
    world.service = terms.id();
    world.chain.done(&world.developer, Operation::Publish(Publish { terms: terms.into() }));
    for n in 0..2 {
        offers(&mut world, n);
    }
    world
}

fn offers(world: &mut World, n: usize) {
    let node = world.nodes[n].clone();
    world.chain.done(&node, offer_of(world.service, &node, node.address()));
}

#[test]
fn a_small_office_decides_nothing_where_an_event_asks_for_more_emitters() {
    let mut world = small_office();
    for n in 0..2 {
        let forged = read(&world, 1, b"forged");
        says(&mut world, n, forged);
    }
    // All of the office have spoken, and are not half of five.
    let event = the_only(&world, &key(&world, READ, 1));
    assert_eq!((event.office.len(), event.observations.len()), (2, 2));
    assert_eq!(event.state, EventState::Expired);
    assert!((0..2).all(|n| stake(&world, n) == STAKE), "nobody is fined for it");
    offers(&mut world, 2);
    for n in 0..3 {
        let seen = read(&world, 1, b"seen by three");
        says(&mut world, n, seen);
    }
    let states: Vec<EventState> = settled(&world, &event.key).iter().map(|e| e.state).collect();
    assert_eq!(states, [EventState::Expired, EventState::Valid], "the id was not used up");
}

/// Five meters: three honest ones that jitter, one that drifts by 8 %, and one that is mute.
#[test]
fn the_median_of_the_honest_meters_wins() {
    let mut world = World::new(5);
    let readings = [Some(20_000), Some(21_600), Some(20_010), Some(19_990), None];
    let event = session(&mut world, 1, &readings);
    assert_eq!(event.state, EventState::Valid);
    assert!((19_990..=20_010).contains(&event.measured[0]), "{:?}", event.measured);
    let standings: Vec<Standing> = event.observations.iter().map(|said| said.standing).collect();
    let (right, wrong) = (Standing::Agrees, Standing::Contradicts);
    assert_eq!(standings, [right, wrong, right, right]);
    let drifted = &event.observations[1];
    let distance: Vec<u64> = event.distances(drifted).collect();
    assert_eq!(distance, [21_600 - event.measured[0].unsigned_abs()]);
    let mute = world.nodes[4].address();
    assert_eq!(event.absent.iter().map(|absent| absent.node).collect::<Vec<_>>(), [mute]);

    let late = charged(&world, 1, 20_000);
    assert_eq!(rejected(&mut world, 4, late), "LED-0045");
}

#[test]
fn a_meter_that_comes_after_the_decision_is_measured_against_it() {
    let mut world = World::new(5);
    let readings = [Some(1_000), Some(1_001), Some(1_002), Some(1_080), Some(1_049)];
    let event = session(&mut world, 1, &readings);
    assert_eq!(event.measured, [1_001], "runs started with it: it stays");
    assert!(!fined(&world, &event, 3).is_zero());
    assert!(fined(&world, &event, 4).is_zero(), "48 from the median");
}

/// What the per-field agreement is for.
#[test]
fn the_same_meters_with_exact_data_contradict_each_other() {
    let mut world = World::new(5);
    for (n, kwh) in ["20.000", "21.600", "20.010", "19.990", "20.003"].iter().enumerate() {
        let operation = read(&world, 1, kwh.as_bytes());
        says(&mut world, n, operation);
    }
    let event = the_only(&world, &key(&world, READ, 1));
    assert_eq!(event.state, EventState::Contradicted, "jitter makes five statements of one truth");
}

#[test]
fn who_drags_the_first_median_to_the_edge_gets_no_honest_emitter_fined() {
    // The first two agree on the lower value at once; the third is beyond its tolerance.
    let mut world = World::new(3);
    let event = session(&mut world, 1, &[Some(11_950), Some(12_000), Some(12_005)]);
    assert_eq!(event.measured, [11_950], "what runs were told stays");
    assert_eq!(fined(&world, &event, 2), Amount::ZERO);

    // Two of five drag the third along.
    let mut world = World::new(5);
    let readings = [12_060, 12_060, 12_010, 12_000, 12_005].map(Some);
    let event = session(&mut world, 1, &readings);
    assert_eq!(event.measured, [12_060]);
    for honest in 2..5 {
        assert_eq!(fined(&world, &event, honest), Amount::ZERO, "meter {honest}");
    }
    assert!(event.observations.iter().all(|o| o.standing == Standing::Agrees));
}

#[test]
fn a_drifting_emitter_is_fined_more_among_three_than_among_five() {
    let fine_among = |honest: usize| {
        let mut world = World::new(u64::try_from(honest).unwrap() + 1);
        let mut readings = vec![Some(1_000); honest];
        readings.push(Some(1_080));
        let event = session(&mut world, 1, &readings);
        let fine = fined(&world, &event, honest);
        assert_eq!(stake(&world, honest), STAKE.checked_sub(fine).unwrap());
        fine
    };
    let (three, five) = (fine_among(2), fine_among(4));
    assert!(three > five, "{three} > {five}");
    let base = parameters().emitter_wrong.of(STAKE);
    assert_eq!(three, dilution(3).of(base).share(4, 3), "one of three: f(3), raised by a third");
    assert_eq!(five, dilution(5).of(base).share(6, 5), "one of five: f(5), raised by a fifth");
}

#[test]
fn fines_are_burned_in_part_and_the_rest_is_shared_by_those_who_agree() {
    let mut world = World::new(3);
    let burned = world.chain.totals().burned;
    let event = session(&mut world, 1, &[Some(1_000), Some(1_000), Some(9_000)]);
    let fine = fined(&world, &event, 2);
    let burn = parameters().slash_burned.of(fine);
    assert_eq!(world.chain.totals().burned, burned.checked_add(burn).unwrap());
    let share = fine.checked_sub(burn).unwrap().share(1, 2);
    let earned: Vec<Amount> = event.observations.iter().map(|said| said.earned).collect();
    assert_eq!(earned, [share, share, Amount::ZERO]);
    assert_eq!(world.record(&world.nodes[0].address()).earned, share);
}

#[test]
fn reputation_counts_what_an_emitter_did() {
    let mut world = World::new(4);
    session(&mut world, 1, &[Some(1_000), Some(1_000), Some(9_000), None]);
    let tally = |n: usize| world.record(&world.nodes[n].address()).emitter;
    assert_eq!((tally(0).right, tally(0).done), (1_000_000, 1));
    assert_eq!((tally(2).wrong, tally(3).absent), (1_000_000, 1_000_000));
    assert_eq!(world.record(&world.nodes[2].address()).incidents, 1);
    let weight = |n: usize| {
        let record = world.record(&world.nodes[n].address());
        althing_ledger::weight(&record, world.chain.time, &parameters())
    };
    assert!(weight(0) > weight(3) && weight(3) > weight(2), "right, absent, wrong");
}

#[test]
fn who_is_silent_too_often_leaves_office_until_it_resumes() {
    let mut world = World::new(4);
    let all_but_the_last = [Some(5), Some(5), Some(5), None];
    for id in 1..=3 {
        assert_eq!(session(&mut world, id, &all_but_the_last).office.len(), 4);
    }
    let silent = world.nodes[3].clone();
    assert_eq!(world.record(&silent.address()).status, OfferStatus::Suspended);
    let event = session(&mut world, 4, &all_but_the_last);
    assert_eq!((event.office.len(), event.absent.len()), (3, 0));
    let fifth = charged(&world, 5, 5);
    assert_eq!(world.chain.rejected(&silent, fifth.clone()), "LED-0043");
    world.chain.done(&silent, Operation::Resume(Resume { service: world.service }));
    world.chain.done(&silent, fifth);
}

#[test]
fn presence_ends_a_row_of_absences() {
    let mut world = World::new(3);
    session(&mut world, 1, &[Some(5), Some(5), None]);
    session(&mut world, 2, &[Some(5), Some(5), None]);
    session(&mut world, 3, &[Some(5), Some(5), Some(5)]);
    let record = world.record(&world.nodes[2].address());
    assert_eq!((record.absences_in_a_row, record.status), (0, OfferStatus::Active));
}

#[test]
fn observations_are_rejected_with_their_reasons() {
    let mut world = World::new(3);
    let base = observe(&world, CHARGED, 1, vec![5]);
    let cases = [
        (Observe { service: Hash([1; 32]), ..base.clone() }, "LED-0019"),
        (Observe { event: name("other"), ..base.clone() }, "LED-0039"),
        (Observe { keys: vec![], ..base.clone() }, "LED-0040"),
        (Observe { keys: vec![Hash([1; 32]); 2], ..base.clone() }, "LED-0040"),
        (Observe { measured: vec![], ..base.clone() }, "LED-0041"),
        (Observe { measured: vec![5, 5], ..base.clone() }, "LED-0041"),
        (
            Observe { data: BlobRef { bytes: (1 << 20) + 1, ..base.data }, ..base.clone() },
            "LED-0042",
        ),
    ];
    for (observe, code) in cases {
        assert_eq!(rejected(&mut world, 0, Operation::Observe(observe)), code);
    }
    let stranger = world.chain.rejected(&world.caller, Operation::Observe(base.clone()));
    assert_eq!(stranger, "LED-0024");
    let largest = Observe { data: BlobRef { bytes: 1 << 20, ..base.data }, ..base };
    says(&mut world, 0, Operation::Observe(largest.clone()));
    assert_eq!(rejected(&mut world, 0, Operation::Observe(largest)), "LED-0044");
}

#[test]
fn nobody_joins_the_office_of_an_event_that_is_under_way() {
    let mut world = World::new(3);
    let operation = read(&world, 1, b"truth");
    says(&mut world, 0, operation.clone());
    let late = actor(77);
    world.chain.done(&world.caller, transfer(&late, tokens(5_000)));
    world.chain.done(&late, offer_of(world.service, &late, late.address()));
    assert_eq!(world.chain.rejected(&late, operation.clone()), "LED-0043");
    // Who leaves while the event is under way may still speak, and is still liable.
    let leaver = world.nodes[1].clone();
    world.chain.done(&leaver, Operation::Withdraw(Withdraw { service: world.service }));
    world.chain.done(&leaver, operation);
    let next = read(&world, 2, b"truth");
    assert_eq!(world.chain.rejected(&leaver, next), "LED-0043");
}

#[test]
fn an_observation_at_the_windows_end_is_late() {
    let mut world = World::new(3);
    let operation = read(&world, 1, b"truth");
    says(&mut world, 0, operation.clone());
    says(&mut world, 1, operation.clone());
    let until = open(&world, &key(&world, READ, 1)).unwrap().until;
    let left = world.chain.time.until(until);
    let node = world.nodes[2].clone();
    let mut punctual = world.chain.clone();
    let last_moment = punctual.block(|block| {
        block.elapsed_ms = left - 1;
        block.send(&node, vec![operation.clone()]);
    });
    assert_eq!(last_moment[0].as_ref().unwrap().results, [OperationResult::Done]);
    let receipts = world.chain.block(|block| {
        block.elapsed_ms = left;
        block.send(&node, vec![operation]);
    });
    let results = &receipts[0].as_ref().unwrap().results;
    let [OperationResult::Rejected(rejection)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(rejection.code(), "LED-0045");
}

#[test]
fn a_rejected_transaction_takes_its_observations_back() {
    let mut world = World::new(1);
    let node = world.nodes[0].clone();
    let operations = vec![charged(&world, 1, 5), charged(&world, 1, 5)];
    let receipts = world.chain.block(|block| block.send_atomic(&node, operations));
    let results = &receipts[0].as_ref().unwrap().results;
    assert!(results.iter().all(|result| matches!(result, OperationResult::Rejected(_))));
    assert!(settled(&world, &key(&world, CHARGED, 1)).is_empty());
    let operation = charged(&world, 1, 5);
    says(&mut world, 0, operation);
    assert_eq!(settled(&world, &key(&world, CHARGED, 1)).len(), 1);
}

#[test]
fn of_many_offers_the_largest_stakes_are_in_office() {
    let mut world = World::new(130);
    let rich = world.nodes[129].clone();
    world.chain.done(&rich, offer_of(world.service, &rich, rich.address()));
    let operation = read(&world, 1, b"truth");
    world.chain.done(&rich, operation.clone());
    let event = open(&world, &key(&world, READ, 1)).unwrap();
    assert_eq!(event.office.len(), 128);
    assert!(event.office.contains(&rich.address()) && event.office.is_sorted());
    let outside = world.nodes.iter().find(|node| !event.office.contains(&node.address()));
    assert_eq!(world.chain.rejected(&outside.unwrap().clone(), operation), "LED-0043");
}

#[test]
fn a_service_may_only_observe() {
    let mut world = World::new(0);
    let mut watch = terms("acme/watch@1.0.0");
    watch.tasks.clear();
    watch.module = None;
    let publish = Operation::Publish(Publish { terms: watch.into() });
    world.chain.done(&world.developer, publish);
}

#[test]
fn a_fine_below_the_least_stake_suspends_an_emitter() {
    let mut world = World::new(3);
    let mut id = 0;
    let drifter = world.nodes[2].address();
    while world.record(&drifter).stake >= STAKE_MIN {
        assert_eq!(world.record(&drifter).status, OfferStatus::Active);
        id += 1;
        session(&mut world, id, &[Some(5), Some(5), Some(500)]);
    }
    assert_eq!(world.record(&drifter).status, OfferStatus::Suspended);
    assert!(id > 1);
}
