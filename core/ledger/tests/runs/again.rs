//! Runs that are begun anew, and who may see them.

use std::cell::RefCell;

use althing_ledger::{OperationResult, query};
use althing_types::{
    Action, Address, Grant, Hash, KeySource, Operation, Outcome, Remove, Restart, StepInput,
    Trigger, Visibility,
};
use althing_workflow::{RunEnd, RunStatus, first_run};

use crate::common::flows::{after, all, done, returned, yields};
use crate::common::world::failed;
use crate::common::{Actor, World, actor, tokens};

fn restart(world: &mut World, run: Hash) -> Hash {
    match world.chain.send(&world.caller, Operation::Restart(Restart { run })) {
        OperationResult::Created(id) => id,
        other => panic!("not begun anew: {other:?}"),
    }
}

fn two_steps(world: &mut World) -> Hash {
    let steps = vec![world.step_plan("one", all(&[])), world.step_plan("two", after(0))];
    let plan = world.plan(steps);
    world.deployed("shop/two@1", plan)
}

#[test]
fn a_run_that_is_begun_anew_does_everything_again_under_keys_of_its_own() {
    let mut world = World::new(3);
    let application = two_steps(&mut world);
    let first = world.started(1);
    let keys = RefCell::new(vec![]);
    let note = |input: &StepInput| keys.borrow_mut().push((first_run(input), input.step));
    world.work(|input| {
        note(input);
        if input.step == 0 { done() } else { failed() }
    });
    assert_eq!(world.run_status(&first), RunStatus::Failed);
    let deposit = || query::usage(&world.chain.state, &application).unwrap().spent;
    let before = deposit();

    let second = restart(&mut world, first);
    assert_eq!(world.run_record(&first).run.end, Some(RunEnd::Cancelled));
    let (old, new) = (world.run_record(&first), world.run_record(&second));
    assert_eq!(
        (new.event, new.event_key, new.started_at),
        (old.event, old.event_key, old.started_at)
    );
    world.work(|input| {
        note(input);
        done()
    });
    assert_eq!(world.run_status(&second), RunStatus::Done);
    let keys = keys.into_inner();
    assert_eq!(keys, [(first, 0), (first, 1), (second, 0), (second, 1)]);
    let usage = query::usage(&world.chain.state, &application).unwrap();
    assert_eq!((usage.runs, usage.open), (2, 0));
    // Two steps of ten tokens; the event is not paid a second time.
    assert_eq!(usage.spent, before.saturating_add(tokens(20)));
    let over = Operation::Restart(Restart { run: first });
    assert_eq!(world.chain.rejected(&world.caller, over), "LED-0060", "each is begun anew once");
}

#[test]
fn a_run_that_is_begun_anew_finds_the_events_that_the_first_one_took() {
    let mut world = World::new(3);
    let mut address = world.step_plan("address", all(&[]));
    address.yields = 1;
    let mut paid = world.step_plan("paid", after(0));
    paid.wait = Some(world.wait_for(KeySource::Yielded { step: 0, index: 0 }));
    let plan = world.plan(vec![address, paid]);
    world.deployed("shop/cart@1", plan);
    let first = world.started(1);
    let answer = |input: &StepInput| -> Outcome {
        if input.step == 0 { yields(&["\"0xabc\""]) } else { failed() }
    };
    world.work(answer);
    world.event(2, "\"0xabc\"");
    world.work(answer);
    assert_eq!(world.run_status(&first), RunStatus::Failed);
    world.chain.wait(60_000);
    let second = restart(&mut world, first);
    world.work(|input| if input.step == 0 { yields(&["\"0xabc\""]) } else { done() });
    assert_eq!(world.run_status(&second), RunStatus::Done);
}

#[test]
fn a_run_that_waits_or_works_can_be_begun_anew_and_its_work_counts_no_more() {
    let mut world = World::new(3);
    two_steps(&mut world);
    let first = world.started(1);
    let second = restart(&mut world, first);
    assert_ne!(first, second);
    // The execution of the first one ends too; nobody waits for it.
    assert_eq!(world.work(|_| done()).len(), 3);
    assert_eq!(world.run_record(&first).run.end, Some(RunEnd::Cancelled));
    assert_eq!(world.run_status(&second), RunStatus::Done);
}

#[test]
fn only_its_owner_begins_a_run_anew_and_only_the_outermost_one() {
    let mut world = World::new(3);
    let steps = vec![world.step_plan("a", all(&[])), world.step_plan("b", after(0))];
    let mut plan = world.plan(steps);
    plan.trigger = Trigger { event: None, filter: vec![], conditional: false };
    plan.returns[0].from = returned(1, "done");
    let inner = world.deployed("shop/inner@1", plan);
    let mut used = world.step_plan("used", all(&[]));
    used.action = Action::Application { application: inner };
    let mut plan = world.plan(vec![used]);
    plan.returns[0].from = returned(0, "good");
    let outer = world.deployed("shop/outer@1", plan);
    world.event(1, "\"start\"");
    let runs = world.open_runs();
    let of = |application| runs.iter().find(|run| run.application == application).unwrap().id;
    let (root, child) = (of(outer), of(inner));
    let asked = |run| Operation::Restart(Restart { run });
    assert_eq!(world.chain.rejected(&world.developer, asked(root)), "LED-0058");
    assert_eq!(world.chain.rejected(&world.caller, asked(child)), "LED-0066");
    assert_eq!(world.chain.rejected(&world.caller, asked(Hash([7; 32]))), "LED-0060");
    world.chain.done(&world.caller, Operation::Remove(Remove { application: outer }));
    assert_eq!(world.chain.rejected(&world.caller, asked(root)), "LED-0059");
}

fn granted(application: Hash, account: &Actor, granted: bool) -> Operation {
    Operation::Grant(Grant { application, account: account.address(), granted })
}

#[test]
fn the_owner_lets_others_see_a_private_application_and_takes_it_back() {
    let mut world = World::new(3);
    let steps = vec![world.step_plan("one", all(&[]))];
    let mut deploy = world.deploy_of("shop/one@1", world.plan(steps));
    deploy.terms.visibility = Visibility::Private(vec![]);
    let OperationResult::Created(application) =
        world.chain.send(&world.caller, Operation::Deploy(deploy))
    else {
        panic!("not deployed")
    };
    let grantees = |world: &World| -> Vec<Address> {
        let record = query::application(&world.chain.state, &application).unwrap().unwrap();
        match record.terms.visibility {
            Visibility::Private(grantees) => grantees,
            Visibility::Public => panic!("it is private"),
        }
    };
    let mut people = [actor(70), actor(71), actor(72)];
    people.sort_unstable_by_key(|actor| std::cmp::Reverse(actor.address()));
    for person in &people {
        // Twice is as once.
        world.chain.done(&world.caller, granted(application, person, true));
        world.chain.done(&world.caller, granted(application, person, true));
    }
    let mut expected: Vec<Address> = people.iter().map(Actor::address).collect();
    expected.sort_unstable();
    assert_eq!(grantees(&world), expected);
    let foreign = granted(application, &people[0], false);
    assert_eq!(world.chain.rejected(&world.developer, foreign), "LED-0058");
    for person in &people {
        world.chain.done(&world.caller, granted(application, person, false));
        world.chain.done(&world.caller, granted(application, person, false));
    }
    assert_eq!(grantees(&world), []);
    let people: Vec<Actor> = (0..129).map(|n| actor(10_000 + n)).collect();
    for person in &people[..128] {
        world.chain.done(&world.caller, granted(application, person, true));
    }
    let one_more = granted(application, &people[128], true);
    assert_eq!(world.chain.rejected(&world.caller, one_more), "LED-0051");
    let public = two_steps(&mut world);
    let nothing = granted(public, &people[0], true);
    assert_eq!(world.chain.rejected(&world.caller, nothing), "LED-0067");
    let nowhere = granted(Hash([7; 32]), &people[0], true);
    assert_eq!(world.chain.rejected(&world.caller, nowhere), "LED-0057");
}
