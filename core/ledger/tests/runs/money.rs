//! What runs cost, and what happens when the money is spent.

use althing_ledger::query;
use althing_types::{Amount, Cancel, Collect, Hash, Operation, Remove, Transfer, purse};
use althing_workflow::{KEPT_MS, RunEnd, RunStatus};

use crate::common::flows::{DEPOSIT, after, all, done};
use crate::common::world::failed;
use crate::common::{World, tokens};

/// Leaves nothing in an application's deposit.
pub(crate) fn drain(world: &mut World, application: Hash) {
    let amount = world.chain.account(&purse(&application)).balance;
    world.chain.done(&world.caller, Operation::Collect(Collect { application, amount }));
}

fn deposit(world: &World, application: &Hash) -> Amount {
    world.chain.account(&purse(application)).balance
}

fn two_steps(world: &mut World) -> Hash {
    let steps = vec![world.step_plan("one", all(&[])), world.step_plan("two", after(0))];
    let plan = world.plan(steps);
    world.deployed("shop/two@1", plan)
}

#[test]
fn prices_leave_the_deposit_and_refunds_return_to_it() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    let run = world.started(1);
    // Two for the event, ten for the first step.
    assert_eq!(deposit(&world, &application), DEPOSIT.checked_sub(tokens(12)).unwrap());
    world.work(|_| done());
    assert_eq!(deposit(&world, &application), DEPOSIT.checked_sub(tokens(22)).unwrap());
    let usage = query::usage(&world.chain.state, &application).unwrap();
    assert_eq!(usage.spent, tokens(22));
    assert_eq!(world.run_record(&run).spent, tokens(22));
}

#[test]
fn a_run_that_cannot_pay_stops_and_goes_on_after_a_deposit() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    let run = world.started(1);
    drain(&mut world, application);
    world.work(|_| done());
    assert_eq!(world.run_status(&run), RunStatus::OutOfFunds);
    assert_eq!(world.run_record(&run).due, Some(world.chain.time.after(KEPT_MS)));

    world.repeat(run, 1);
    assert_eq!(world.run_status(&run), RunStatus::OutOfFunds, "there is no more money than before");
    let to = purse(&application);
    world.chain.done(&world.caller, Operation::Transfer(Transfer { to, amount: tokens(10) }));
    world.repeat(run, 1);
    assert_eq!(world.work(|_| done()), [1]);
    assert_eq!(world.run_status(&run), RunStatus::Done);
}

#[test]
fn a_run_that_nobody_pays_for_ends_out_of_funds() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    drain(&mut world, application);
    let run = world.started(1);
    world.chain.wait(KEPT_MS);
    assert_eq!(world.run_record(&run).run.end, Some(RunEnd::OutOfFunds));
    assert!(world.open_runs().is_empty());
}

#[test]
fn a_failed_run_can_be_taken_up_again_for_a_time() {
    let mut world = World::new(3);
    two_steps(&mut world);
    let (run, lost) = (world.started(1), world.started(2));
    world.work(|_| failed());
    assert_eq!(world.run_status(&run), RunStatus::Failed);
    world.repeat(run, 0);
    assert_eq!(world.work(|_| done()), [0, 1]);
    assert_eq!(world.run_status(&run), RunStatus::Done);

    world.chain.wait(KEPT_MS);
    assert_eq!(world.run_record(&lost).run.end, Some(RunEnd::Completed { returned: None }));
    assert_eq!(world.run_status(&lost), RunStatus::Failed);
}

#[test]
fn a_cancelled_run_ends_at_once_and_what_was_under_way_is_paid() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    let run = world.started(1);
    world.chain.done(&world.caller, Operation::Cancel(Cancel { run }));
    assert_eq!(world.run_record(&run).run.end, Some(RunEnd::Cancelled));
    world.work(|_| done());
    let usage = query::usage(&world.chain.state, &application).unwrap();
    assert_eq!((usage.open, usage.spent), (0, tokens(12)));
}

#[test]
fn a_removed_application_returns_its_deposit_with_the_end_of_its_last_run() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    world.started(1);
    world.chain.done(&world.caller, Operation::Remove(Remove { application }));
    world.event(2, "\"start\"");
    assert_eq!(world.open_runs().len(), 1, "it starts no more runs");
    let before = world.chain.balance(&world.caller);
    world.work(|_| done());
    assert_eq!(deposit(&world, &application), Amount::ZERO);
    let back = DEPOSIT.checked_sub(tokens(22)).unwrap();
    assert_eq!(world.chain.balance(&world.caller), before.checked_add(back).unwrap());
}

#[test]
fn what_an_execution_refunds_after_its_application_is_gone_reaches_the_owner() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    let run = world.started(1);
    world.chain.done(&world.caller, Operation::Remove(Remove { application }));
    world.chain.done(&world.caller, Operation::Cancel(Cancel { run }));
    let before = world.chain.balance(&world.caller);
    world.work(|_| crate::common::doubt());
    assert_eq!(deposit(&world, &application), Amount::ZERO);
    assert!(world.chain.balance(&world.caller) > before, "the refund");
}
