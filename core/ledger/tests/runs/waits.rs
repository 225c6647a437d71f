//! Events that runs wait for: before and after they wait, once, in time.

use althing_ledger::query;
use althing_types::{
    End, KeySource, Operation, Outcome, StepInput, StepPlan, StepStatus, Transfer, key_hash,
};
use althing_workflow::{QUEUE_MAX, RunStatus, StepPhase};

use crate::common::World;
use crate::common::flows::{after, all, done, yields};

const YIELDED: KeySource = KeySource::Yielded { step: 0, index: 0 };

/// The first step yields an address; the second waits for a payment to it.
fn cart(world: &World, change: impl FnOnce(&mut StepPlan)) -> Vec<StepPlan> {
    let mut address = world.step_plan("address", all(&[]));
    address.yields = 1;
    let mut processing = world.step_plan("processing", after(0));
    processing.wait = Some(world.wait_for(YIELDED));
    change(&mut processing);
    let expired = all(&[End { step: 1, status: StepStatus::Timeout }]);
    let mut steps = vec![address, processing];
    if steps[1].wait.as_ref().is_some_and(|wait| wait.timeout_ms > 0) {
        steps.push(world.step_plan("expired", expired));
    }
    steps
}

fn answer(input: &StepInput) -> Outcome {
    if input.step == 0 { yields(&["\"0xabc\""]) } else { done() }
}

fn waiting(world: &World, key: &str) -> usize {
    let key = Some((0, key_hash(key.as_bytes())));
    query::waits(&world.chain.state, &world.hooked(), key, 100).unwrap().len()
}

#[test]
fn a_run_waits_for_the_event_with_its_key_and_for_no_other() {
    let mut world = World::new(3);
    let plan = world.plan(cart(&world, |_| {}));
    world.deployed("shop/cart@1", plan);
    let run = world.started(1);
    world.work(answer);
    assert_eq!(world.run_status(&run), RunStatus::Waiting);
    assert_eq!(waiting(&world, "\"0xabc\""), 1);

    world.event(2, "\"0xdef\"");
    assert_eq!(world.run_status(&run), RunStatus::Waiting);
    world.event(3, "\"0xabc\"");
    assert_eq!(waiting(&world, "\"0xabc\""), 0, "it waits no longer");
    assert_eq!(world.work(answer), [1]);
    assert_eq!(world.run_status(&run), RunStatus::Done);
}

#[test]
fn an_event_that_comes_before_its_run_waits_is_not_lost() {
    let mut world = World::new(3);
    let plan = world.plan(cart(&world, |_| {}));
    world.deployed("shop/cart@1", plan);
    world.event(2, "\"0xabc\"");
    world.chain.wait(10);
    let run = world.started(1);
    assert_eq!(world.work(answer), [0], "what came before the run began is not meant for it");
    assert_eq!(world.run_status(&run), RunStatus::Waiting);

    let second = world.started(3);
    world.event(4, "\"0xabc\"");
    assert_eq!(world.run_status(&run), RunStatus::Running, "the first one took it");
    assert_eq!(world.work(answer).len(), 3);
    assert_eq!(world.run_status(&second), RunStatus::Done, "and the second one remembered it");
}

#[test]
fn a_wait_ends_with_timeout_when_its_time_is_over() {
    let mut world = World::new(3);
    let week = 7 * crate::common::DAY_MS;
    let steps = cart(&world, |step| step.wait.as_mut().unwrap().timeout_ms = week);
    let plan = world.plan(steps);
    world.deployed("shop/cart@1", plan);
    let run = world.started(1);
    world.work(answer);
    world.chain.wait(week);
    assert_eq!(world.run_record(&run).run.ending(1).unwrap().status, StepStatus::Timeout);
    assert_eq!(waiting(&world, "\"0xabc\""), 0);
    world.event(2, "\"0xabc\"");
    assert_eq!(world.work(answer), [2]);
    assert_eq!(world.run_status(&run), RunStatus::Done);
}

#[test]
fn a_false_condition_leaves_the_wait_open_and_the_next_event_is_tried() {
    let mut world = World::new(3);
    let steps = cart(&world, |step| step.wait.as_mut().unwrap().conditional = true);
    let plan = world.plan(steps);
    world.deployed("shop/cart@1", plan);
    let run = world.started(1);
    world.work(answer);
    for id in 2..5 {
        world.event(id, "\"0xabc\"");
    }
    assert_eq!(world.run_record(&run).run.steps[1].queued.len(), 2, "one is being evaluated");
    let wrong = |input: &StepInput| if input.attempt < 2 { Outcome::Declined } else { done() };
    assert_eq!(world.work(wrong), [1, 1, 1], "the third was the awaited one");
    assert_eq!(world.run_status(&run), RunStatus::Done);

    let run = world.started(9);
    world.work(answer);
    world.event(10, "\"0xabc\"");
    world.work(|_| Outcome::Declined);
    assert_eq!(world.run_status(&run), RunStatus::Waiting);
    assert_eq!(waiting(&world, "\"0xabc\""), 1);
}

#[test]
fn events_queue_to_a_bound_before_a_condition() {
    let mut world = World::new(3);
    let steps = cart(&world, |step| step.wait.as_mut().unwrap().conditional = true);
    let plan = world.plan(steps);
    world.deployed("shop/cart@1", plan);
    let run = world.started(1);
    world.work(answer);
    for id in 2..30 {
        world.event(id, "\"0xabc\"");
    }
    assert_eq!(world.run_record(&run).run.steps[1].queued.len(), QUEUE_MAX);
}

#[test]
fn a_wait_without_keys_takes_any_such_event_but_the_one_that_started_the_run() {
    let mut world = World::new(3);
    let steps = cart(&world, |step| step.wait.as_mut().unwrap().filter.clear());
    let plan = world.plan(steps);
    world.deployed("shop/any@1", plan);
    let run = world.started(1);
    world.work(answer);
    assert_eq!(world.run_status(&run), RunStatus::Waiting);
    world.event(2, "\"whatever\"");
    world.work(answer);
    assert_eq!(world.run_status(&run), RunStatus::Done);
}

#[test]
fn events_are_forgotten_after_their_time() {
    let mut world = World::new(3);
    let plan = world.plan(cart(&world, |_| {}));
    world.deployed("shop/cart@1", plan);
    world.event(2, "\"0xabc\"");
    let remembered = |world: &World| {
        use althing_state::View as _;
        let count = |prefix: &[u8]| world.chain.state.range(prefix, None, 100).unwrap().len();
        (count(b"j"), count(b"m"))
    };
    assert_eq!(remembered(&world), (1, 1));
    world.chain.wait(30 * crate::common::DAY_MS);
    assert_eq!(remembered(&world), (0, 0));
}

#[test]
fn how_long_events_are_remembered_is_a_parameter_of_the_chain() {
    use althing_state::View as _;
    let events_kept_ms = crate::common::DAY_MS;
    let parameters = althing_types::Parameters { events_kept_ms, ..crate::common::parameters() };
    let mut world = World::with(parameters, 3);
    let plan = world.plan(cart(&world, |_| {}));
    world.deployed("shop/cart@1", plan);
    let run = world.started(1);
    world.event(2, "\"0xabc\"");
    world.chain.wait(events_kept_ms - 1_000);
    assert_eq!(world.chain.state.range(b"j", None, 100).unwrap().len(), 2, "both are there");
    world.chain.wait(2_000);
    assert_eq!(world.chain.state.range(b"j", None, 100).unwrap().len(), 0);
    world.work(answer);
    assert_eq!(world.run_status(&run), RunStatus::Waiting, "what is forgotten is not found");
}

#[test]
fn a_step_without_money_keeps_the_event_that_it_took() {
    let mut world = World::new(3);
    let plan = world.plan(cart(&world, |_| {}));
    let application = world.deployed("shop/cart@1", plan);
    let run = world.started(1);
    world.work(answer);
    crate::runs::money::drain(&mut world, application);
    world.event(2, "\"0xabc\"");
    assert_eq!(world.run_status(&run), RunStatus::OutOfFunds);
    let to = althing_types::purse(&application);
    let deposit = Operation::Transfer(Transfer { to, amount: crate::common::tokens(50) });
    world.chain.done(&world.caller, deposit);
    world.repeat(run, 1);
    assert!(matches!(world.run_record(&run).run.steps[1].phase, StepPhase::Working { .. }));
    world.work(answer);
    assert_eq!(world.run_status(&run), RunStatus::Done);
}
