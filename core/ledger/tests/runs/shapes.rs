//! The shapes of paper A's applications: chains, branches, joins, handled statuses.

use althing_ledger::query;
use althing_types::{End, Outcome, Payload, Retry, StepInput, StepStatus};
use althing_workflow::{RunEnd, RunStatus, StepPhase};

use crate::common::World;
use crate::common::flows::{after, all, any, done, returned, unreadable};
use crate::common::world::failed;

#[test]
fn a_chain_runs_from_its_event_to_its_end() {
    let mut world = World::new(3);
    let steps = vec![
        world.step_plan("wallet", all(&[])),
        world.step_plan("contact", after(0)),
        world.step_plan("gift", after(1)),
    ];
    let plan = world.plan(steps);
    let application = world.deployed("shop/wallet@1", plan);
    let run = world.started(1);
    assert_eq!(world.work(|_| done()), [0, 1, 2]);

    let record = world.run_record(&run);
    assert_eq!(record.run.end, Some(RunEnd::Completed { returned: Some(0) }));
    assert_eq!(world.run_status(&run), RunStatus::Done);
    assert!(world.open_runs().is_empty(), "an ended run has left the state");
    let usage = query::usage(&world.chain.state, &application).unwrap();
    assert_eq!((usage.runs, usage.open), (1, 0));
}

#[test]
fn a_step_knows_the_event_and_the_outputs_before_it() {
    let mut world = World::new(3);
    let steps = vec![
        world.step_plan("one", all(&[])),
        world.step_plan("two", after(0)),
        world.step_plan("aside", after(0)),
        world.step_plan("three", after(1)),
    ];
    let plan = world.plan(steps);
    let application = world.deployed("shop/outputs@1", plan);
    let run = world.started(1);
    let seen = std::cell::RefCell::new(vec![]);
    world.work(|input: &StepInput| {
        assert_eq!((input.application, input.run), (application, run));
        assert!(
            matches!(&input.event, Payload::Event { name, .. } if name.event.as_str() == "hooked")
        );
        let outputs: Vec<u16> = input.outputs.iter().map(|output| output.step).collect();
        seen.borrow_mut().push((input.step, outputs));
        done()
    });
    let mut seen = seen.into_inner();
    seen.sort_unstable();
    let expected = [(0, vec![]), (1, vec![0]), (2, vec![0]), (3, vec![0, 1])];
    assert_eq!(seen, expected, "only what a step hangs on, whatever has ended beside it");
}

#[test]
fn a_refused_payment_takes_the_other_branch() {
    let mut world = World::new(3);
    let steps = vec![
        world.step_plan("pay", all(&[])),
        world.step_plan("tell", after(0)),
        world.step_plan("sleep", after(1)),
        world.step_plan("alert", all(&[returned(0, "unreadable")])),
    ];
    let plan = world.plan(steps);
    world.deployed("shop/car@1", plan);
    let run = world.started(1);
    let order = world.work(|input| if input.step == 0 { unreadable() } else { done() });
    assert_eq!(order, [0, 3]);
    let record = world.run_record(&run);
    assert_eq!(record.run.steps[1].phase, StepPhase::NotTaken);
    assert_eq!(record.run.steps[2].phase, StepPhase::NotTaken);
    assert_eq!(record.run.end, Some(RunEnd::Completed { returned: None }));
}

#[test]
fn a_join_waits_for_both_branches_and_dies_with_one() {
    for lost in [false, true] {
        let mut world = World::new(3);
        let steps = vec![
            world.step_plan("packed", all(&[])),
            world.step_plan("eu", after(0)),
            world.step_plan("us", after(0)),
            world.step_plan("tag", all(&[returned(1, "done"), returned(2, "done")])),
        ];
        let plan = world.plan(steps);
        world.deployed("shop/image@1", plan);
        let run = world.started(1);
        let order = world.work(|input| if lost && input.step == 2 { unreadable() } else { done() });
        assert_eq!(order.len(), if lost { 3 } else { 4 });
        let tag = world.run_record(&run).run.steps[3].phase.clone();
        assert_eq!(tag == StepPhase::NotTaken, lost);
    }
}

#[test]
fn any_of_several_ends_reaches_a_step_once() {
    let mut world = World::new(3);
    let error = End { step: 1, status: StepStatus::Error };
    let ends = [returned(0, "unreadable"), returned(1, "unreadable"), error];
    let steps = vec![
        world.step_plan("quote", all(&[])),
        world.step_plan("send", after(0)),
        world.step_plan("told_ok", after(1)),
        world.step_plan("told_bad", any(&ends)),
    ];
    let plan = world.plan(steps);
    world.deployed("shop/swap@1", plan);
    let run = world.started(1);
    let order = world.work(|input| if input.step == 1 { failed() } else { done() });
    assert_eq!(order, [0, 1, 3]);
    assert_eq!(world.run_record(&run).run.end, Some(RunEnd::Completed { returned: Some(0) }));
}

#[test]
fn a_false_condition_skips_the_run_for_a_tenth_of_the_price() {
    let mut world = World::new(3);
    let steps = vec![world.step_plan("pay", all(&[])), world.step_plan("tell", after(0))];
    let mut plan = world.plan(steps);
    plan.trigger.conditional = true;
    let application = world.deployed("shop/if@1", plan);
    let run = world.started(1);
    world.work(|_| Outcome::Declined);
    let record = world.run_record(&run);
    assert_eq!(record.run.end, Some(RunEnd::Skipped));
    assert_eq!(world.run_status(&run), RunStatus::Skipped);
    let usage = query::usage(&world.chain.state, &application).unwrap();
    // Two tokens for the event, one of the ten that an execution costs.
    assert_eq!(usage.spent, crate::common::tokens(3));
}

#[test]
fn failed_attempts_are_repeated_with_doubling_backoff_and_then_the_step_ends_with_error() {
    let mut world = World::new(3);
    let mut send = world.step_plan("send", all(&[]));
    send.retry = Retry { max: 2, backoff_ms: 10_000 };
    let handler = all(&[End { step: 0, status: StepStatus::Error }]);
    let steps = vec![send, world.step_plan("sorry", handler)];
    let plan = world.plan(steps);
    world.deployed("shop/retry@1", plan);
    let run = world.started(1);
    let answer = |input: &StepInput| if input.step == 0 { failed() } else { done() };
    for backoff_ms in [10_000, 20_000] {
        assert_eq!(world.work(answer), [0]);
        let resting = world.run_record(&run);
        let until = world.chain.time.after(backoff_ms);
        assert_eq!(resting.run.steps[0].phase, StepPhase::Resting { until });
        assert_eq!(resting.due, Some(until));
        world.chain.wait(backoff_ms - 1);
        assert!(world.work(answer).is_empty(), "not before its time");
        world.chain.wait(1);
    }
    assert_eq!(world.work(answer), [0, 1]);
    assert_eq!(world.run_record(&run).run.steps[0].attempts, 3);
    assert_eq!(world.run_status(&run), RunStatus::Done);
}

#[test]
fn a_step_that_takes_too_long_ends_with_timeout_and_its_late_result_counts_for_nothing() {
    let mut world = World::new(3);
    let mut slow = world.step_plan("slow", all(&[]));
    slow.timeout_ms = 5_000;
    let late = all(&[End { step: 0, status: StepStatus::Timeout }]);
    let steps = vec![slow, world.step_plan("late", late), world.step_plan("fine", after(0))];
    let plan = world.plan(steps);
    world.deployed("shop/slow@1", plan);
    let run = world.started(1);
    world.chain.wait(5_000);
    assert_eq!(
        world.run_record(&run).run.ending(0).map(|ending| ending.status.clone()),
        Some(StepStatus::Timeout)
    );
    world.work(|_| done());
    let record = world.run_record(&run);
    assert_eq!(record.run.ending(0).unwrap().status, StepStatus::Timeout);
    assert_eq!(record.run.steps[2].phase, StepPhase::NotTaken);
    assert!(record.run.ending(1).is_some());
}
