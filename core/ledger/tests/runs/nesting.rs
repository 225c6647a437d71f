//! Applications that are used as tasks.

use althing_ledger::query;
use althing_types::{
    Action, Hash, KeySource, Operation, Payload, Plan, Retry, StepInput, Transfer, Trigger,
    key_hash, purse,
};
use althing_workflow::{RunEnd, RunStatus, StepPhase, first_run};

use crate::common::flows::{DEPOSIT, after, all, any, done, returned, unreadable};
use crate::common::world::name;
use crate::common::{World, tokens};

/// Two steps; `good` if the second is done.
fn inner(world: &World) -> Plan {
    let steps = vec![world.step_plan("a", all(&[])), world.step_plan("b", after(0))];
    let mut plan = world.plan(steps);
    plan.trigger = Trigger { event: None, filter: vec![], conditional: false };
    plan.returns[0].from = returned(1, "done");
    plan
}

fn using(world: &World, application: Hash) -> Plan {
    let mut used = world.step_plan("used", all(&[]));
    used.action = Action::Application { application };
    let good = all(&[returned(0, "good")]);
    let steps = vec![used, world.step_plan("tell", good)];
    let mut plan = world.plan(steps);
    plan.returns[0].from = returned(1, "done");
    plan
}

#[test]
fn a_public_application_is_used_as_a_task_and_the_outermost_one_pays() {
    let mut world = World::new(3);
    let plan = inner(&world);
    let inner = world.deployed("shop/inner@1", plan);
    let plan = using(&world, inner);
    let outer = world.deployed("shop/outer@1", plan);
    world.event(1, "\"start\"");
    let runs = world.open_runs();
    let root = runs.iter().find(|run| run.application == outer).unwrap().id;
    let child = runs.iter().find(|run| run.application == inner).unwrap();
    assert_eq!(child.parent.map(|parent| (parent.run, parent.step)), Some((root, 0)));
    assert_eq!(child.payer, outer);

    let told = std::cell::RefCell::new(None);
    world.work(|input: &StepInput| {
        if input.application == inner {
            assert!(matches!(&input.event, Payload::Given(given) if given.application == outer));
        } else {
            *told.borrow_mut() = input.outputs.first().cloned();
        }
        done()
    });
    let told = told.into_inner().unwrap();
    let Payload::Returned { context, index: 0 } = told.output else { panic!("{told:?}") };
    assert_eq!((context.application, context.step), (inner, 1));
    assert_eq!(context.outputs.len(), 2, "with the output of the step that it hangs on");
    assert_eq!(world.run_record(&root).run.end, Some(RunEnd::Completed { returned: Some(0) }));
    let balance = |application| world.chain.account(&purse(application)).balance;
    assert_eq!(balance(&inner), DEPOSIT);
    assert_eq!(balance(&outer), DEPOSIT.checked_sub(tokens(32)).unwrap());
}

#[test]
fn an_application_that_reaches_no_return_is_a_failed_attempt() {
    let mut world = World::new(3);
    let plan = inner(&world);
    let inner = world.deployed("shop/inner@1", plan);
    let plan = using(&world, inner);
    let outer = world.deployed("shop/outer@1", plan);
    world.event(1, "\"start\"");
    let root = world.open_runs().iter().find(|run| run.application == outer).unwrap().id;
    world.work(|_| unreadable());
    assert_eq!(world.run_status(&root), RunStatus::Failed);
}

#[test]
fn want_of_money_inside_is_seen_outside_and_is_repeated_inside() {
    let mut world = World::new(3);
    let plan = inner(&world);
    let inner = world.deployed("shop/inner@1", plan);
    let plan = using(&world, inner);
    let outer = world.deployed("shop/outer@1", plan);
    world.event(1, "\"start\"");
    let runs = world.open_runs();
    let root = runs.iter().find(|run| run.application == outer).unwrap().id;
    let child = runs.iter().find(|run| run.application == inner).unwrap().id;
    super::money::drain(&mut world, outer);
    world.work(|_| done());
    assert_eq!(world.run_status(&child), RunStatus::OutOfFunds);
    assert_eq!(world.run_status(&root), RunStatus::OutOfFunds);
    let to = purse(&outer);
    world.chain.done(&world.caller, Operation::Transfer(Transfer { to, amount: tokens(20) }));
    world.repeat(child, 1);
    assert_eq!(world.run_status(&root), RunStatus::Running);
    world.work(|_| done());
    assert_eq!(world.run_status(&root), RunStatus::Done);
}

#[test]
fn who_ends_a_run_ends_those_that_it_uses() {
    let mut world = World::new(3);
    let plan = inner(&world);
    let inner = world.deployed("shop/inner@1", plan);
    let plan = using(&world, inner);
    let outer = world.deployed("shop/outer@1", plan);
    world.event(1, "\"start\"");
    let root = world.open_runs().iter().find(|run| run.application == outer).unwrap().id;
    let cancel = althing_types::Cancel { run: root };
    world.chain.done(&world.caller, Operation::Cancel(cancel));
    assert!(world.open_runs().is_empty());
    let usage = query::usage(&world.chain.state, &inner).unwrap();
    assert_eq!((usage.runs, usage.open), (1, 0));
}

#[test]
fn applications_nest_to_a_bounded_depth() {
    let mut world = World::new(3);
    let mut plan = inner(&world);
    plan.returns[0].name = name("good");
    let mut id = world.deployed("shop/depth@0", plan);
    for depth in 1..=3 {
        let plan = using(&world, id);
        id = world.deployed(&format!("shop/depth@{depth}"), plan);
    }
    let plan = using(&world, id);
    let deploy = Operation::Deploy(world.deploy_of("shop/depth@4", plan));
    assert_eq!(world.chain.rejected(&world.caller, deploy), "LED-0055");

    // All four levels carry their payloads through to the innermost step and back.
    world.event(1, "\"start\"");
    world.work(|_| done());
    assert!(world.open_runs().is_empty());
}

#[test]
fn a_paused_application_cannot_be_used_meanwhile() {
    let mut world = World::new(3);
    let plan = inner(&world);
    let inner = world.deployed("shop/inner@1", plan);
    let mut plan = using(&world, inner);
    plan.steps[0].retry = Retry { max: 1, backoff_ms: 1_000 };
    plan.steps[1].after = any(&[returned(0, "good")]);
    world.deployed("shop/outer@1", plan);
    let pause = |paused| Operation::Pause(althing_types::Pause { application: inner, paused });
    world.chain.done(&world.caller, pause(true));
    let run = world.started(1);
    assert!(matches!(world.run_record(&run).run.steps[0].phase, StepPhase::Resting { .. }));
    world.chain.done(&world.caller, pause(false));
    world.chain.wait(1_000);
    world.work(|_| done());
    assert_eq!(world.run_status(&run), RunStatus::Done);
}

/// Has an effect, waits for what follows from it, and may fail behind that.
fn waiting(world: &World) -> Plan {
    let mut paid = world.step_plan("paid", after(0));
    paid.wait = Some(world.wait_for(KeySource::Constant(key_hash(b"\"paid\""))));
    let steps = vec![world.step_plan("ask", all(&[])), paid, world.step_plan("tell", after(1))];
    let mut plan = world.plan(steps);
    plan.trigger = Trigger { event: None, filter: vec![], conditional: false };
    plan.returns[0].from = returned(2, "done");
    plan
}

#[test]
fn a_later_attempt_of_an_application_is_the_first_one_to_whoever_does_things_once() {
    // Tried again by itself, or by its owner; two applications deep too.
    for (retries, deep) in [(1, false), (0, false), (1, true)] {
        let mut world = World::new(3);
        let plan = waiting(&world);
        let inner = world.deployed("shop/inner@1", plan);
        let mut used = inner;
        if deep {
            let mut plan = using(&world, inner);
            plan.trigger = Trigger { event: None, filter: vec![], conditional: false };
            plan.returns[0].name = name("good");
            used = world.deployed("shop/middle@1", plan);
        }
        let mut plan = using(&world, used);
        plan.steps[0].retry = Retry { max: retries, backoff_ms: 1_000 };
        let outer = world.deployed("shop/outer@1", plan);
        world.event(1, "\"start\"");
        let root = world.open_runs().iter().find(|run| run.application == outer).unwrap().id;

        let seen = std::cell::RefCell::new(Vec::new());
        let work = |world: &mut World, fails: bool| {
            world.work(|input| {
                if input.application == inner {
                    seen.borrow_mut().push(input.clone());
                    if fails && input.step == 2 {
                        return unreadable();
                    }
                }
                done()
            });
        };
        work(&mut world, true);
        world.chain.wait(500);
        world.event(2, "\"paid\"");
        work(&mut world, true);
        if retries == 0 {
            assert_eq!(world.run_status(&root), RunStatus::Failed);
            world.repeat(root, 0);
        } else {
            world.chain.wait(1_000);
        }
        // The event that the first attempt waited for does not come again.
        work(&mut world, false);
        assert_eq!(world.run_status(&root), RunStatus::Done);

        let seen = seen.into_inner();
        let (first, second) = seen.split_at(3);
        assert_eq!(seen.iter().map(|input| input.step).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
        for (first, second) in first.iter().zip(second) {
            assert_ne!(first.run, second.run);
            assert_eq!((first_run(first), first_run(second)), (first.run, first.run));
            assert_eq!(first.started_at, second.started_at);
            assert_eq!((&first.awaited, &first.outputs), (&second.awaited, &second.outputs));
        }
    }
}
