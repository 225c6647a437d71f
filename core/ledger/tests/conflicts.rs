//! Committees that disagree: larger ones, and the end of patience.

use althing_ledger::{Conclusion, Member, MemberState, Offence, Reason, Role};
use althing_types::Amount;

use crate::common::world::lie;
use crate::common::{World, doubt, says, tokens, truth};

#[test]
fn two_against_two_are_judged_by_a_larger_committee_and_all_liars_pay() {
    let mut world = World::new(12);
    let drawn = world.call_and_draw(world.compute(3));
    let liars = [drawn.members[0].node, drawn.members[1].node];
    let execution = world
        .run(drawn.id, |_, m| if liars.contains(&m.node) { says(lie(1)) } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!((execution.round, execution.members.len()), (1, 4 + 5));
    assert!(execution.members.iter().skip(4).all(|m| m.role == Role::Checker));
    // 1,000 × 20 % × 2/(9 + 1) × (1 + 2/9), and half of that severity for the checker
    assert_eq!(execution.members[0].fine, "48.888888".parse().unwrap());
    assert_eq!(execution.members[1].fine, "24.444444".parse().unwrap());
    // Seven shared what was paid for four: less than the price each, and nothing is lost.
    let paid = |m: &&Member| m.offence.is_none();
    let earned: Amount = execution.members.iter().filter(paid).map(|m| m.earned).sum();
    assert!(earned > Amount::ZERO);
}

#[test]
fn who_was_in_a_committee_is_not_drawn_into_the_next() {
    let mut world = World::new(12);
    let execution = world.called(world.compute(3), |e, m| {
        let index = e.members.iter().position(|other| other.node == m.node).unwrap();
        says(lie(u8::try_from(index).unwrap()))
    });
    let mut nodes: Vec<_> = execution.members.iter().map(|m| m.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), execution.members.len());
}

#[test]
fn a_committee_that_never_agrees_ends_in_a_refund() {
    let mut world = World::new(30);
    let before = world.chain.balance(&world.caller);
    let treasury = world.chain.totals().treasury;
    let execution = world.called(world.compute(1), |e, m| {
        let index = e.members.iter().position(|other| other.node == m.node).unwrap();
        says(lie(u8::try_from(index).unwrap()))
    });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoQuorum)));
    assert_eq!((execution.round, execution.members.len()), (2, 2 + 3 + 3));
    assert_eq!(execution.refunded, tokens(20));
    assert!(execution.members.iter().all(|m| m.fine.is_zero()), "nobody is known to be wrong");
    // The fees of the call, of all seals and of all openings went to the treasury; nothing else did.
    let fee = before.checked_sub(world.chain.balance(&world.caller)).unwrap();
    assert!(fee < tokens(1) && world.chain.totals().treasury > treasury);
}

#[test]
fn without_anybody_left_for_a_larger_committee_the_caller_is_refunded() {
    let mut world = World::new(4);
    let drawn = world.call_and_draw(world.compute(3));
    let liars = [drawn.members[0].node, drawn.members[1].node];
    let execution = world
        .run(drawn.id, |_, m| if liars.contains(&m.node) { says(lie(1)) } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoQuorum)));
    assert_eq!(execution.refunded, tokens(40));
}

#[test]
fn a_committee_that_cannot_tell_is_followed_by_others_and_then_by_a_refund() {
    let mut world = World::new(20);
    let execution = world.called(world.compute(3), |_, _| says(doubt()));
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::Inconclusive)));
    assert_eq!(execution.members.len(), 4 + 5 + 5);
    assert_eq!(execution.refunded, tokens(40));
    assert!(execution.members.iter().all(|m| m.offence.is_none()));
}

#[test]
fn doubts_of_the_first_committee_do_not_outvote_the_second() {
    let mut world = World::new(20);
    let execution =
        world.called(world.compute(3), |e, _| says(if e.round == 0 { doubt() } else { truth() }));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.round, 1);
}

#[test]
fn one_more_node_is_enough_to_break_a_tie() {
    let mut world = World::new(5);
    let drawn = world.call_and_draw(world.compute(3));
    let liars = [drawn.members[2].node, drawn.members[3].node];
    let execution = world
        .run(drawn.id, |_, m| if liars.contains(&m.node) { says(lie(1)) } else { says(truth()) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.members.len(), 5);
    for liar in liars {
        assert_eq!(execution.member_of_any_round(&liar).offence, Some(Offence::WrongResult));
    }
}

trait AnyRound {
    fn member_of_any_round(&self, node: &althing_types::Address) -> &Member;
}

impl AnyRound for althing_ledger::Execution {
    fn member_of_any_round(&self, node: &althing_types::Address) -> &Member {
        self.members.iter().find(|m| m.node == *node).unwrap()
    }
}

#[test]
fn a_jury_that_the_caller_picked_fines_nobody_for_its_opinion() {
    let mut world = World::new(9);
    let mut call = world.compute(3);
    call.nodes = world.nodes.iter().take(4).map(|node| node.address()).collect();
    call.nodes.sort_unstable();
    let victim = call.nodes[0];
    let stake = world.record(&victim).stake;
    // Three of the caller's own outvote an honest node.
    let execution =
        world.called(call, |_, m| if m.node == victim { says(truth()) } else { says(lie(1)) });
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(lie(1))), "the caller's own loss");
    let member = execution.member(&victim).unwrap();
    assert_eq!((member.offence, member.fine), (Some(Offence::WrongResult), Amount::ZERO));
    let record = world.record(&victim);
    assert_eq!((record.stake, record.incidents), (stake, 0));
    assert_eq!(record.executor.wrong + record.checker.wrong, 0);
}

#[test]
fn in_a_picked_committee_absence_and_forgery_are_fined_all_the_same() {
    let mut world = World::new(9);
    let mut call = world.compute(3);
    call.nodes = world.nodes.iter().take(4).map(|node| node.address()).collect();
    call.nodes.sort_unstable();
    let copier = call.nodes[0];
    let execution =
        world.called(
            call,
            |_, m| {
                if m.node == copier { crate::common::Act::Copy } else { says(truth()) }
            },
        );
    let member = execution.member(&copier).unwrap();
    assert_eq!((member.offence, member.fine), (Some(Offence::ForgedSeal), tokens(75)));
    assert!(matches!(member.state, MemberState::Forged { .. }));
}
