//! Every phase ends, whoever is silent.

use althing_ledger::{Conclusion, MemberState, Offence, Phase, Reason, Role, Step};
use althing_types::{Claim, Opinion, Parameters};

use crate::common::{Act, World, opinion, parameters, says, tokens, truth};

#[test]
fn a_committee_is_drawn_with_the_beacon_of_the_block_after_the_call() {
    let mut world = World::new(4);
    let id = world.call(world.compute(1));
    assert_eq!(world.chain.execution(&id).unwrap().phase, Phase::Created);
    let called = world.chain.height;
    world.chain.wait(1);
    let execution = world.chain.execution(&id).unwrap();
    assert_eq!(execution.phase, Phase::Working);
    assert_eq!(execution.draws[0].height, called.next());
    // Windows of 1,000 ms and the task's own 500 ms.
    assert_eq!(execution.due, world.chain.time.after(1_500));
}

#[test]
fn who_alone_can_be_drawn_is_seated_in_the_block_of_the_call() {
    let mut world = World::new(1);
    let id = world.call(world.compute(0));
    let execution = world.chain.execution(&id).unwrap();
    assert_eq!(execution.phase, Phase::Working);
    assert_eq!(execution.draws[0].height, world.chain.height);
    assert_eq!(execution.due, world.chain.time.after(1_500));
    assert_eq!(world.run(id, |_, _| says(truth())).conclusion, Some(Conclusion::Accepted(truth())));

    // With a second candidate, or with a checker, chance decides, and waits for its beacon.
    let mut two = World::new(2);
    let id = two.call(two.compute(0));
    assert_eq!(two.chain.execution(&id).unwrap().phase, Phase::Created);
    let id = world.call(world.compute(1));
    assert_eq!(world.chain.execution(&id).unwrap().phase, Phase::Created);
}

#[test]
fn without_candidates_the_draw_is_tried_eight_times_and_the_fee_comes_back() {
    let mut world = World::new(1);
    let started = world.chain.time;
    let execution = world.called(world.compute(1), |_, _| says(truth()));
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoCandidates)));
    assert_eq!((execution.refunded, execution.escrow.is_zero()), (tokens(20), true));
    assert!(execution.members.is_empty() && execution.draws.is_empty());
    let waited = started.until(world.chain.time);
    assert!((7_000..8_100).contains(&waited), "{waited} ms of a window of 8,000");
}

#[test]
fn who_comes_within_the_window_is_still_drawn() {
    let mut world = World::new(1);
    let id = world.call(world.compute(1));
    world.chain.wait(3_000);
    let late = crate::common::actor(2_000);
    world.chain.done(&world.caller, crate::transfers::transfer(&late, tokens(1_001)));
    let offer = crate::common::world::offer_of(world.service, &late, late.address());
    world.chain.done(&late, offer);
    world.adopt(late);
    let execution = world.run(id, |_, _| says(truth()));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
}

#[test]
fn an_absent_executor_is_fined_and_its_substitute_works() {
    let mut world = World::new(3);
    let drawn = world.call_and_draw(world.compute(0));
    let (absent, next) = (drawn.members[0].node, drawn.substitutes[0]);
    let execution =
        world.run(drawn.id, |_, m| if m.node == absent { Act::Mute } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let member = &execution.members[0];
    assert_eq!(member.state, MemberState::Absent);
    // 1,000 × 1 % × 1 × (1 + 1/1)
    assert_eq!((member.offence, member.fine), (Some(Offence::Absence), tokens(20)));
    assert_eq!((execution.members[1].node, execution.members[1].role), (next, Role::Executor));
    let moved = Step::Reassigned { from: absent, to: next };
    assert!(world.chain.changes.iter().any(|(_, change)| change.step == moved));
    assert_eq!(world.record(&absent).incidents, 0, "an absence is no misbehaviour");
}

#[test]
fn without_substitutes_a_quorum_of_those_present_decides() {
    let mut world = World::new(4);
    let drawn = world.call_and_draw(world.compute(3));
    assert!(drawn.substitutes.is_empty());
    let absent = drawn.members[2].node;
    let execution =
        world.run(drawn.id, |_, m| if m.node == absent { Act::Mute } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.members.len(), 4);
    // 1,000 × 1 % × 2/5 × (1 + 1/4)
    assert_eq!(execution.members[2].fine, tokens(5));
}

#[test]
fn empty_seats_are_filled_up_by_a_later_draw() {
    let mut world = World::with(Parameters { substitutes: 0, ..parameters() }, 8);
    let drawn = world.call_and_draw(world.compute(3));
    let absent = [drawn.members[0].node, drawn.members[1].node];
    let execution = world
        .run(drawn.id, |_, m| if absent.contains(&m.node) { Act::Mute } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!((execution.members.len(), execution.draws.len()), (6, 2));
    assert_eq!(
        execution.members[4].role,
        Role::Executor,
        "the first empty seat was the executor's"
    );
}

#[test]
fn when_nobody_can_fill_up_the_caller_is_refunded_and_compensated() {
    let mut world = World::new(4);
    let drawn = world.call_and_draw(world.compute(3));
    let present = drawn.members[0].node;
    let execution =
        world.run(drawn.id, |_, m| if m.node == present { says(truth()) } else { Act::Mute });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::TooFewMembers)));
    assert_eq!(execution.committee().filter(|m| m.state == MemberState::Absent).count(), 3);
    // Three absences of 5 each, half burned: 40 come back with 7.5.
    assert_eq!(execution.refunded, "47.5".parse().unwrap());
    assert_eq!(execution.members[0].state, MemberState::Released);
}

#[test]
fn seals_that_are_not_opened_by_the_deadline_are_judged_without() {
    let mut world = World::new(8);
    let hides = Act::Hide(Claim::Outcome(truth()));
    let execution = world.called(world.compute(3), |_, _| hides.clone());
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoQuorum)));
    assert!(execution.members.iter().all(|m| m.offence == Some(Offence::Withheld)));
}

#[test]
fn checkers_that_are_all_silent_leave_the_answer_unchecked_and_the_fee_refunded() {
    let mut world = World::new(4);
    let execution = world.called(world.find(3), |_, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker => Act::Mute,
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::TooFewMembers)));
    assert!(execution.members[0].offence.is_none());
}

#[test]
fn checkers_that_seal_and_hide_are_fined() {
    let mut world = World::new(4);
    let hides = Act::Hide(Claim::Opinion(Opinion::Valid));
    let execution = world.called(world.find(2), |_, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker => hides.clone(),
    });
    let hidden: Vec<_> =
        execution.members.iter().filter(|m| m.offence == Some(Offence::Withheld)).collect();
    assert!(!hidden.is_empty() && hidden.iter().all(|m| m.role == Role::Checker));
    assert!(matches!(execution.conclusion, Some(Conclusion::Failed(_))));
}

#[test]
fn a_crowd_of_silent_nodes_makes_a_bounded_execution() {
    let mut world = World::new(60);
    for call in [world.compute(0), world.compute(1), world.find(1)] {
        let execution = world.called(call, |_, _| Act::Mute);
        assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::TooFewMembers)));
        // Seats, two substitutes, and as many seats again for each of eight fill-ups.
        let seats = usize::from(execution.checkers) + 1;
        assert!(execution.members.len() <= seats + 2 + 8 * seats, "{}", execution.members.len());
        assert!(execution.draws.len() <= 9, "{}", execution.draws.len());
    }
}

#[test]
fn what_comes_on_the_last_millisecond_counts_and_later_does_not() {
    for (elapsed_ms, expected) in [(1_499, "done"), (1_500, "LED-0034")] {
        let mut world = World::new(3);
        let drawn = world.call_and_draw(world.compute(0));
        let node = world.node(&drawn.members[0].node);
        let answer = crate::common::world::answer(&drawn, truth());
        let receipts = world.chain.block(|block| {
            block.elapsed_ms = elapsed_ms;
            block.send(&node, vec![answer]);
        });
        let found = match &receipts[0].as_ref().unwrap().results[0] {
            althing_ledger::OperationResult::Rejected(rejection) => rejection.code(),
            _ => "done",
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn opinions_opened_in_time_end_the_wait() {
    let mut world = World::new(6);
    let started = world.chain.time;
    let execution = world.called(world.find(2), |_, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker => opinion(Opinion::Valid),
    });
    assert!(started.until(world.chain.time) < 20, "no deadline was waited for");
    assert_eq!(execution.changed, world.chain.height);
}

#[test]
fn what_is_due_beyond_the_limit_of_a_block_waits_for_the_next() {
    // Two candidates: one alone would be seated at once.
    let mut world = World::new(2);
    let call = althing_types::Operation::Call(world.compute(0));
    world.chain.block(|block| {
        for _ in 0..3 {
            block.send(&world.caller, vec![call.clone(); 700]);
        }
    });
    let drawn = |world: &World| {
        let open = althing_ledger::query::executions(&world.chain.state, None, 3_000).unwrap();
        open.iter().filter(|execution| execution.phase == Phase::Working).count()
    };
    assert_eq!(drawn(&world), 0);
    world.chain.wait(1);
    assert_eq!(drawn(&world), 2_000);
    world.chain.wait(1);
    assert_eq!(drawn(&world), 2_100);
}
