//! Deterministic tasks that end in a verdict: who is right, who is fined, and how much.

use althing_ledger::{Conclusion, MemberState, Offence, Phase, Role, Step};
use althing_types::{Address, Claim, Operation, Opinion, Outcome, Seal};

use crate::common::world::{answer, lie, returned, reveal, seal};
use crate::common::{Act, World, failed, opinion, says, tokens, truth};

#[test]
fn a_lone_executor_is_believed_at_once() {
    let mut world = World::new(1);
    let call = world.compute(0);
    let execution = world.called(call, |_, _| says(lie(9)));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(lie(9))));
    assert_eq!(execution.members[0].offence, None, "nobody is there to tell");
}

#[test]
fn a_committee_that_agrees_is_believed() {
    for checkers in [1_u16, 2, 3, 7] {
        let mut world = World::new(10);
        let call = world.compute(checkers);
        let execution = world.called(call, |_, _| says(truth()));
        assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())), "{checkers}");
        assert_eq!(execution.members.len(), usize::from(checkers) + 1);
        assert_eq!(execution.round, 0);
        let executors = execution.members.iter().filter(|m| m.role == Role::Executor);
        assert_eq!(executors.count(), 1);
    }
}

#[test]
fn a_failure_that_all_reproduce_is_a_result_and_is_paid() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let execution = world.called(call, |_, _| says(failed()));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(failed())));
    assert!(execution.members.iter().all(|m| !m.earned.is_zero()));
}

#[test]
fn a_lying_executor_is_fined_by_its_share_of_the_committee() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let liar = |role| if role == Role::Executor { says(lie(1)) } else { says(truth()) };
    let execution = world.called(call, |_, m| liar(m.role));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let executor = &execution.members[0];
    // 1,000 × 20 % × 2/(4 + 1) × (1 + 1/4)
    assert_eq!((executor.offence, executor.fine), (Some(Offence::WrongResult), tokens(100)));
    assert!(executor.earned.is_zero());
    let record = world.record(&executor.node);
    assert_eq!((record.stake, record.fined, record.incidents), (tokens(900), tokens(100), 1));
    assert_eq!(record.executor.wrong, 1_000_000);
    let fined =
        Step::Fined { node: executor.node, offence: Offence::WrongResult, fine: tokens(100) };
    assert!(world.chain.changes.iter().any(|(_, change)| change.step == fined));
}

#[test]
fn a_lying_checker_is_fined_half_as_much() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let liar = world.call_and_draw(call);
    let wrong = liar.members[2].node;
    let execution =
        world.run(liar.id, |_, m| if m.node == wrong { says(lie(1)) } else { says(truth()) });
    let member = execution.member(&wrong).unwrap();
    // 1,000 × 10 % × 2/(4 + 1) × (1 + 1/4)
    assert_eq!((member.offence, member.fine), (Some(Offence::WrongResult), tokens(50)));
}

#[test]
fn liars_in_company_pay_more_each() {
    let mut world = World::new(5);
    let call = world.compute(4);
    let drawn = world.call_and_draw(call);
    let liars = [drawn.members[1].node, drawn.members[2].node];
    let act = |node: &Address| if liars.contains(node) { says(lie(1)) } else { says(truth()) };
    let execution = world.run(drawn.id, |_, m| act(&m.node));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    for liar in liars {
        // 1,000 × 10 % × 3333/10000 × (1 + 2/5), rounded down at each step
        assert_eq!(execution.member(&liar).unwrap().fine, "46.662".parse().unwrap());
    }
}

#[test]
fn whoever_copies_a_commitment_cannot_open_it() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let drawn = world.call_and_draw(call);
    let copier = drawn.members[3].node;
    let execution =
        world.run(drawn.id, |_, m| if m.node == copier { Act::Copy } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let member = execution.member(&copier).unwrap();
    // 1,000 × 15 % × 2/5 × (1 + 1/4), although what it submitted was the truth
    assert_eq!((member.offence, member.fine), (Some(Offence::ForgedSeal), tokens(75)));
    let MemberState::Forged { commitment, opening } = &member.state else { panic!() };
    assert_eq!(opening.claim, Claim::Outcome(truth()));
    let forged = althing_types::commitment(&execution.id, 0, &copier, opening);
    assert_ne!(forged, *commitment, "anybody can recompute the proof");
    assert!(member.earned.is_zero());
}

#[test]
fn a_seal_that_is_never_opened_is_fined_and_does_not_count() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let drawn = world.call_and_draw(call);
    let hider = drawn.members[1].node;
    let hides = Act::Hide(Claim::Outcome(truth()));
    let execution =
        world.run(drawn.id, |_, m| if m.node == hider { hides.clone() } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let member = execution.member(&hider).unwrap();
    assert!(matches!(member.state, MemberState::Withheld(_)));
    // 1,000 × 5 % × 2/5 × (1 + 1/4)
    assert_eq!((member.offence, member.fine), (Some(Offence::Withheld), tokens(25)));
}

#[test]
fn who_could_not_tell_is_neither_fined_nor_paid() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let drawn = world.call_and_draw(call);
    let slow = drawn.members[1].node;
    let execution = world.run(drawn.id, |_, m| {
        if m.node == slow { says(crate::common::doubt()) } else { says(truth()) }
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let member = execution.member(&slow).unwrap();
    assert_eq!(
        (member.offence, member.fine.is_zero(), member.earned.is_zero()),
        (None, true, true)
    );
}

#[test]
fn nobody_sees_a_claim_before_all_have_sealed() {
    let mut world = World::new(4);
    let call = world.compute(3);
    let execution = world.call_and_draw(call);
    let claim = Claim::Outcome(truth());
    let first = execution.members[0].node;
    let early = reveal(&execution, &first, claim.clone());
    world.chain.done(&world.node(&first), seal(&execution, &first, claim.clone()));
    let node = world.node(&first);
    assert_eq!(world.chain.rejected(&node, early), "LED-0034", "too early to open");
    let again = seal(&execution, &first, claim);
    assert_eq!(world.chain.rejected(&node, again), "LED-0034", "sealed is sealed");
    assert_eq!(world.chain.execution(&execution.id).unwrap().phase, Phase::Working);
}

#[test]
fn what_does_not_fit_the_execution_is_rejected() {
    let mut world = World::new(4);
    let call = world.compute(1);
    let execution = world.call_and_draw(call);
    let (first, second) = (execution.members[0].node, execution.members[1].node);
    let (one, two) = (world.node(&first), world.node(&second));
    let claim = Claim::Outcome(truth());
    let sealed = seal(&execution, &first, claim.clone());
    let other_round =
        Operation::Seal(Seal { execution: execution.id, round: 1, commitment: execution.id });
    let unknown = Operation::Seal(Seal {
        execution: althing_types::Hash([3; 32]),
        round: 0,
        commitment: execution.id,
    });
    assert_eq!(world.chain.rejected(&one, unknown), "LED-0032");
    assert_eq!(world.chain.rejected(&one, other_round), "LED-0033");
    assert_eq!(world.chain.rejected(&world.caller, sealed.clone()), "LED-0033");
    assert_eq!(
        world.chain.rejected(&one, answer(&execution, truth())),
        "LED-0034",
        "it has to seal"
    );
    world.chain.done(&one, sealed);
    world.chain.done(&two, seal(&execution, &second, claim.clone()));

    let opinion = reveal(&execution, &first, Claim::Opinion(Opinion::Valid));
    assert_eq!(world.chain.rejected(&one, opinion), "LED-0035");
    let undeclared = reveal(&execution, &first, Claim::Outcome(returned("surprise", b"")));
    assert_eq!(world.chain.rejected(&one, undeclared), "LED-0036");
    world.chain.done(&one, reveal(&execution, &first, claim.clone()));
    let again = reveal(&execution, &first, claim.clone());
    assert_eq!(world.chain.rejected(&one, again), "LED-0034");
    world.chain.done(&two, reveal(&execution, &second, claim));
    assert_eq!(world.chain.settled(&execution.id).unwrap().phase, Phase::Settled);
    let late = answer(&execution, truth());
    assert_eq!(world.chain.rejected(&one, late), "LED-0032", "it is over");
}

#[test]
fn a_result_in_any_declared_status_is_a_result() {
    let mut world = World::new(2);
    let unreadable = returned("unreadable", b"no header");
    let call = world.compute(1);
    let execution = world.called(call, |_, _| says(unreadable.clone()));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(unreadable)));
}

#[test]
fn a_quorum_above_the_majority_is_kept_to() {
    let mut world = World::new(12);
    let mut call = world.compute(3);
    call.quorum = 4;
    let drawn = world.call_and_draw(call);
    let liar = drawn.members[3].node;
    let act = |node: &Address| if *node == liar { says(lie(1)) } else { says(truth()) };
    let execution = world.run(drawn.id, |_, m| act(&m.node));
    assert_eq!(execution.round, 1, "three of four were not enough");
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.members.iter().filter(|m| m.offence.is_some()).count(), 1);
}

#[test]
fn an_opinion_is_no_result() {
    let mut world = World::new(2);
    let call = world.compute(1);
    let drawn = world.call_and_draw(call);
    let mut sealed = drawn.clone();
    for _ in 0..2 {
        world.step(&sealed, &|_, _| opinion(Opinion::Valid));
        sealed = world.chain.execution(&drawn.id).unwrap();
        if sealed.phase == Phase::Revealing {
            break;
        }
    }
    let node = world.node(&sealed.members[0].node);
    let open = reveal(&sealed, &sealed.members[0].node, Claim::Opinion(Opinion::Valid));
    assert_eq!(world.chain.rejected(&node, open), "LED-0035");
    let done: Option<Outcome> = None;
    assert_eq!(sealed.answer().map(|(_, outcome)| outcome.clone()), done);
}
