//! Trusted executions: no checkers, or nodes that the caller names.

use althing_ledger::{Conclusion, Reason};
use althing_types::{Amount, Call, Operation};

use crate::common::world::offer_of;
use crate::common::{Act, World, doubt, failed, says, tokens, truth};

#[test]
fn without_checkers_the_method_is_not_asked_for() {
    let mut world = World::new(1);
    let execution = world.called(world.find(0), |_, _| says(truth()));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.paid_in, tokens(10));
}

#[test]
fn a_trusted_executor_that_cannot_tell_is_followed_by_another() {
    let mut world = World::new(3);
    let drawn = world.call_and_draw(world.compute(0));
    let first = drawn.members[0].node;
    let execution =
        world.run(drawn.id, |_, m| says(if m.node == first { doubt() } else { truth() }));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    assert_eq!(execution.members.len(), 2);
    assert_eq!(execution.members[0].offence, None);
}

#[test]
fn trusted_executors_that_all_cannot_tell_end_in_a_refund() {
    let mut world = World::new(5);
    let execution = world.called(world.compute(0), |_, _| says(doubt()));
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::Inconclusive)));
    assert_eq!((execution.members.len(), execution.refunded), (3, tokens(10)));
}

#[test]
fn a_trusted_failure_is_a_result() {
    let mut world = World::new(1);
    let execution = world.called(world.compute(0), |_, _| says(failed()));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(failed())));
}

#[test]
fn only_the_nodes_that_the_caller_names_are_drawn() {
    let mut world = World::new(12);
    let mut nodes: Vec<_> = world.nodes.iter().skip(3).take(4).map(|n| n.address()).collect();
    nodes.sort_unstable();
    for _ in 0..5 {
        let call = Call { nodes: nodes.clone(), ..world.compute(2) };
        let execution = world.called(call, |_, _| says(truth()));
        assert!(execution.members.iter().all(|m| nodes.contains(&m.node)));
        assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
    }
}

#[test]
fn fewer_named_nodes_than_seats_end_in_a_refund() {
    let mut world = World::new(12);
    let call = Call { nodes: vec![world.nodes[0].address()], ..world.compute(1) };
    let execution = world.called(call, |_, _| says(truth()));
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoCandidates)));
    assert_eq!(execution.refunded, tokens(20));
}

#[test]
fn nodes_of_one_owner_never_sit_in_one_committee() {
    let mut world = World::new(8);
    let service = world.service;
    // Four owners with two nodes each.
    let operations: Vec<Operation> = (0..8)
        .map(|n| match offer_of(service, &world.nodes[n], world.nodes[n / 2].address()) {
            Operation::Offer(offer) => Operation::Offer(althing_types::Offer {
                stake: Amount::ZERO,
                term_ms: offer.term_ms * 2,
                ..offer
            }),
            other => other,
        })
        .collect();
    world.chain.block(|block| {
        for (node, operation) in world.nodes.iter().zip(operations) {
            block.send(node, vec![operation]);
        }
    });
    for _ in 0..10 {
        let execution = world.call_and_draw(world.compute(3));
        let mut owners: Vec<_> =
            execution.members.iter().map(|m| world.record(&m.node).owner).collect();
        owners.sort_unstable();
        owners.dedup();
        assert_eq!(owners.len(), 4);
        assert!(execution.substitutes.is_empty());
    }
    let execution = world.called(world.compute(4), |_, _| says(truth()));
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::NoCandidates)), "four owners");
}

#[test]
fn an_owner_stays_barred_when_its_seated_node_leaves() {
    let mut world = World::new(3);
    let service = world.service;
    // Nodes 0 and 1 have one owner.
    let Operation::Offer(offer) = offer_of(service, &world.nodes[1], world.nodes[0].address())
    else {
        panic!()
    };
    let together =
        althing_types::Offer { stake: Amount::ZERO, term_ms: offer.term_ms * 2, ..offer };
    world.chain.done(&world.nodes[1], Operation::Offer(together));
    let drawn = world.call_and_draw(world.compute(1));
    let seated = drawn.members.iter().map(|m| m.node).find(|n| *n != world.nodes[2].address());
    let seated = seated.unwrap();
    let withdraw = Operation::Withdraw(althing_types::Withdraw { service });
    world.chain.done(&world.node(&seated), withdraw);
    // The stranger stays away; its seat does not go to the other node of the one that has sealed.
    let execution =
        world.run(drawn.id, |_, m| if m.node == seated { says(truth()) } else { Act::Mute });
    assert_eq!(execution.conclusion, Some(Conclusion::Failed(Reason::TooFewMembers)));
    assert_eq!(execution.members.len(), 2);
}
