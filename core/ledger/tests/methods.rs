//! Tasks whose answer is not checked by executing again, but by the service's method.

use althing_ledger::{Conclusion, Execution, Member, MemberState, Offence, Phase, Reason, Role};
use althing_types::{Call, Claim, Operation, Opinion, Outcome, Publish, Verification};

use crate::common::world::{answer, lie, offer_of, returned, seal, terms};
use crate::common::{Act, World, doubt, failed, opinion, says, tokens, truth};

/// The first executor lies if `liar`, checkers tell what is so.
fn honest_checkers(execution: &Execution, member: &Member, first_lies: bool) -> Act {
    let lies = first_lies && execution.round == 0;
    match member.role {
        Role::Executor => says(if lies { lie(1) } else { truth() }),
        Role::Checker => opinion(if lies { Opinion::Invalid } else { Opinion::Valid }),
    }
}

#[test]
fn an_answer_that_the_checkers_hold_valid_is_accepted() {
    let mut world = World::new(6);
    let execution = world.called(world.find(3), |e, m| honest_checkers(e, m, false));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.paid_in, tokens(10 + 3 * 4));
    assert_eq!(execution.members.len(), 4);
    assert!(execution.members.iter().all(|m| !m.earned.is_zero()));
}

#[test]
fn an_executor_whose_answer_is_refused_is_fined_and_another_one_is_drawn() {
    let mut world = World::new(12);
    let execution = world.called(world.find(3), |e, m| honest_checkers(e, m, true));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.round, 1);
    let liar = &execution.members[0];
    // 1,000 × 20 % × 2/(4 + 1) × (1 + 1/4)
    assert_eq!((liar.offence, liar.fine), (Some(Offence::WrongResult), tokens(100)));
    let next = execution.committee().find(|m| m.role == Role::Executor).unwrap();
    assert_ne!(next.node, liar.node);
    assert!(!next.earned.is_zero());
}

#[test]
fn a_task_that_nobody_can_check_is_called_without_checkers_or_not_at_all() {
    let mut world = World::new(4);
    let mut terms = terms("acme/mails@1.0.0");
    terms.tasks[0].verification = Verification::None;
    let mut cheap = terms.clone();
    cheap.tasks[0].check_price = tokens(1);
    let (service, developer) = (terms.id(), &world.developer);
    let refused = Operation::Publish(Publish { terms: cheap.into() });
    assert_eq!(world.chain.rejected(developer, refused), "LED-0018", "a price that nobody pays");
    world.chain.done(developer, Operation::Publish(Publish { terms: terms.into() }));
    for node in &world.nodes {
        world.chain.done(node, offer_of(service, node, node.address()));
    }
    let call = Call { service, ..world.compute(0) };
    let execution = world.called(call.clone(), |_, _| says(truth()));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.members.len(), 1);
    // A node that cannot tell is replaced; whoever comes is trusted too.
    let execution = world.called(call.clone(), |execution, _| match execution.round {
        0 => says(doubt()),
        _ => says(truth()),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!((execution.round, execution.members.len()), (1, 2));
    for checkers in [1, 16] {
        let call = Operation::Call(Call { checkers, ..call.clone() });
        assert_eq!(world.chain.rejected(&world.caller, call), "LED-0064");
    }
}

#[test]
fn checkers_that_refused_a_wrong_answer_are_paid_like_those_that_passed_the_right_one() {
    let mut world = World::new(12);
    let execution = world.called(world.find(3), |e, m| honest_checkers(e, m, true));
    let earned: Vec<_> =
        execution.members.iter().filter(|m| m.role == Role::Checker).map(|m| m.earned).collect();
    assert_eq!(earned.len(), 6);
    assert!(!earned[0].is_zero());
    assert!(earned.iter().all(|amount| *amount == earned[0]), "{earned:?}");
}

#[test]
fn a_checker_against_the_majority_is_fined() {
    for (theirs, others) in [(Opinion::Invalid, Opinion::Valid), (Opinion::Valid, Opinion::Invalid)]
    {
        let mut world = World::new(12);
        let drawn = world.call_and_draw(world.find(3));
        let liar = drawn.members[2].node;
        let execution = world.run(drawn.id, |e, m| match m.role {
            Role::Executor => says(truth()),
            Role::Checker if m.node == liar => opinion(theirs),
            Role::Checker => opinion(if e.round == 0 { others } else { Opinion::Valid }),
        });
        let member = execution.members.iter().find(|m| m.node == liar).unwrap();
        // 1,000 × 10 % × 2/(4 + 1) × (1 + 1/4)
        assert_eq!((member.offence, member.fine), (Some(Offence::WrongCheck), tokens(50)));
    }
}

#[test]
fn one_checkers_word_against_the_executors_fines_nobody() {
    let mut world = World::new(12);
    let execution = world.called(world.find(1), |_, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker => opinion(Opinion::Invalid),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoValidAnswer)));
    assert!(execution.members.iter().all(|m| m.offence.is_none()), "{:?}", execution.members);
}

#[test]
fn an_executor_that_does_not_hand_over_its_output_is_fined() {
    let mut world = World::new(12);
    let execution = world.called(world.find(3), |e, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker if e.round == 0 => opinion(Opinion::Unavailable),
        Role::Checker => opinion(Opinion::Valid),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let executor = &execution.members[0];
    // 1,000 × 5 % × 2/(4 + 1) × (1 + 1/4)
    assert_eq!((executor.offence, executor.fine), (Some(Offence::Withheld), tokens(25)));
}

#[test]
fn checkers_that_cannot_tell_leave_it_to_others() {
    let mut world = World::new(20);
    let execution = world.called(world.find(3), |_, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker => opinion(Opinion::Inconclusive),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoQuorum)));
    assert_eq!(execution.round, 2);
    assert!(execution.members.iter().all(|m| m.offence.is_none()));
    assert_eq!(execution.refunded, tokens(22));
}

#[test]
fn an_executor_that_answers_with_a_failure_is_followed_by_another() {
    for nothing in [failed(), doubt()] {
        let mut world = World::new(12);
        let execution = world.called(world.find(2), |e, m| match m.role {
            Role::Executor if e.round == 0 => says(nothing.clone()),
            Role::Executor => says(truth()),
            Role::Checker => opinion(Opinion::Valid),
        });
        assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
        assert_eq!(execution.round, 1);
        let first = execution.members.iter().filter(|m| m.round == 0);
        for member in first.filter(|m| m.role == Role::Checker) {
            assert_eq!(member.state, MemberState::Released, "its round ended unasked");
        }
    }
}

#[test]
fn checkers_who_were_never_asked_do_not_thin_a_fine() {
    let mut world = World::new(16);
    let execution = world.called(world.find(3), |e, m| match (m.role, e.round) {
        (Role::Executor, 0) => says(failed()),
        (Role::Executor, 1) => says(lie(1)),
        (Role::Executor, _) => says(truth()),
        (Role::Checker, 1) => opinion(Opinion::Invalid),
        (Role::Checker, _) => opinion(Opinion::Valid),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    let liar = execution.members.iter().find(|m| m.offence.is_some()).unwrap();
    // Five took part: the first executor, the liar and its three checkers.
    // 1,000 × 20 % × 3333/10000 × (1 + 1/5)
    assert_eq!(liar.fine, "79.992".parse().unwrap());
}

#[test]
fn an_absent_executor_is_replaced_before_anybody_checks() {
    let mut world = World::new(8);
    let drawn = world.call_and_draw(world.find(2));
    let absent = drawn.members[0].node;
    let execution = world.run(drawn.id, |_, m| match m.role {
        _ if m.node == absent => Act::Mute,
        Role::Executor => says(truth()),
        Role::Checker => opinion(Opinion::Valid),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.round, 0);
    assert_eq!(execution.members[0].offence, Some(Offence::Absence));
    assert_eq!(execution.members[3].role, Role::Executor);
    assert_eq!(execution.members[3].node, drawn.substitutes[0]);
}

#[test]
fn an_absent_checker_is_replaced_while_the_answer_waits() {
    let mut world = World::new(8);
    let drawn = world.call_and_draw(world.find(3));
    let absent = drawn.members[1].node;
    let execution = world.run(drawn.id, |_, m| match m.role {
        _ if m.node == absent => Act::Mute,
        Role::Executor => says(truth()),
        Role::Checker => opinion(Opinion::Valid),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!((execution.round, execution.members.len()), (0, 5));
}

#[test]
fn a_missing_executor_whom_nobody_can_replace_ends_in_a_refund() {
    let mut world = World::new(3);
    let execution = world.called(world.find(2), |_, m| match m.role {
        Role::Executor => Act::Mute,
        Role::Checker => opinion(Opinion::Valid),
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::TooFewMembers)));
    // 1,000 × 1 % × 2/(3 + 1) × (1 + 1/3); half is burned, the rest is the caller's.
    assert_eq!(execution.members[0].fine, "6.666666".parse().unwrap());
    assert_eq!(execution.refunded, "21.333333".parse().unwrap());
}

#[test]
fn what_does_not_fit_a_method_is_rejected() {
    let mut world = World::new(4);
    let execution = world.call_and_draw(world.find(2));
    let (executor, checker) = (execution.members[0].node, execution.members[1].node);
    let early = seal(&execution, &checker, Claim::Opinion(Opinion::Valid));
    assert_eq!(
        world.chain.rejected(&world.node(&checker), early),
        "LED-0034",
        "nothing to check yet"
    );
    let result = answer(&execution, truth());
    assert_eq!(world.chain.rejected(&world.node(&checker), result.clone()), "LED-0034");
    let undeclared = answer(&execution, returned("surprise", b""));
    assert_eq!(world.chain.rejected(&world.node(&executor), undeclared), "LED-0036");
    world.chain.done(&world.node(&executor), result.clone());
    assert_eq!(
        world.chain.rejected(&world.node(&executor), result),
        "LED-0034",
        "answered is answered"
    );
    let execution = world.chain.execution(&execution.id).unwrap();
    assert_eq!(execution.phase, Phase::Checking);
    let expected: Option<Outcome> = Some(truth());
    assert_eq!(execution.answer().map(|(_, outcome)| outcome.clone()), expected);
    let own = seal(&execution, &executor, Claim::Opinion(Opinion::Valid));
    assert_eq!(
        world.chain.rejected(&world.node(&executor), own),
        "LED-0034",
        "nobody checks itself"
    );
}
