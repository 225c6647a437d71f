//! Who is paid for an execution, to the unit.

use althing_ledger::{Conclusion, Role};
use althing_types::{Amount, BasisPoints, Operation, Opinion, Parameters, Publish};

use crate::common::world::{lie, terms};
use crate::common::{Act, World, opinion, parameters, says, tokens, truth, units};

#[test]
fn a_fee_is_split_between_nodes_developer_and_treasury() {
    let mut world = World::new(6);
    let id = world.call(world.compute(3));
    let (treasury, developer) =
        (world.chain.totals().treasury, world.chain.balance(&world.developer));
    let receipts = world.chain.receipts.len();
    let execution = world.run(id, |_, _| says(truth()));
    // 10 each, less 10 % for the developer and 5 % for the treasury.
    assert!(execution.members.iter().all(|m| m.earned == "8.5".parse().unwrap()));
    assert_eq!(world.chain.balance(&world.developer), developer.saturating_add(tokens(4)));
    let fees: Amount = world.chain.receipts[receipts..]
        .iter()
        .filter_map(|(_, receipt)| match receipt {
            althing_ledger::Receipt::Transaction(receipt) => Some(receipt.fee),
            althing_ledger::Receipt::Execution(_)
            | althing_ledger::Receipt::Event(_)
            | althing_ledger::Receipt::Run(_) => None,
        })
        .sum();
    let expected = treasury.saturating_add(fees).saturating_add(tokens(2));
    assert_eq!(world.chain.totals().treasury, expected);
    assert!(execution.refunded.is_zero());
    for member in &execution.members {
        assert_eq!(world.record(&member.node).earned, member.earned);
    }
}

#[test]
fn a_checker_with_a_method_earns_the_price_of_a_check() {
    let mut world = World::new(6);
    let execution = world.called(world.find(2), |_, m| match m.role {
        Role::Executor => says(truth()),
        Role::Checker => opinion(Opinion::Valid),
    });
    let earned: Vec<Amount> = execution.members.iter().map(|m| m.earned).collect();
    let check: Amount = "3.4".parse().unwrap();
    assert_eq!(earned, ["8.5".parse().unwrap(), check, check]);
}

#[test]
fn fines_are_half_burned_and_half_shared_by_those_who_were_right() {
    let mut world = World::new(4);
    let burned = world.chain.totals().burned;
    let execution = world.called(world.compute(3), |_, m| {
        says(if m.role == Role::Executor { lie(1) } else { truth() })
    });
    // Fine 100: 50 burned, 50 in three parts of 16.666666; 2 units are left for the treasury.
    assert_eq!(world.chain.totals().burned, burned.saturating_add(tokens(50)));
    for checker in &execution.members[1..] {
        assert_eq!(checker.earned, "25.166666".parse().unwrap(), "8.5 and a share");
    }
    assert_eq!(execution.refunded, tokens(10), "what the liar did not earn");
}

#[test]
fn what_nobody_earned_goes_back_to_the_caller() {
    let mut world = World::new(4);
    let drawn = world.call_and_draw(world.compute(3));
    let absent = drawn.members[3].node;
    let execution =
        world.run(drawn.id, |_, m| if m.node == absent { Act::Mute } else { says(truth()) });
    assert_eq!(execution.refunded, tokens(10));
}

#[test]
fn a_compensation_is_never_more_than_what_was_paid_in() {
    let severe = Parameters { absent: BasisPoints(10_000), ..parameters() };
    let mut world = World::with(severe, 1);
    let id = world.call(world.compute(0));
    let balance = world.chain.balance(&world.caller);
    let treasury = world.chain.totals().treasury;
    let execution = world.run(id, |_, _| Act::Mute);
    assert!(matches!(execution.conclusion, Some(Conclusion::Failed(_))));
    assert_eq!(execution.members[0].fine, tokens(1_000), "all there was");
    assert_eq!(
        execution.refunded,
        tokens(20),
        "10 paid in, and 10 of the 500 that were not burned"
    );
    assert_eq!(world.chain.balance(&world.caller), balance.saturating_add(tokens(20)));
    assert_eq!(world.chain.totals().treasury, treasury.saturating_add(tokens(490)));
}

#[test]
fn convicting_oneself_does_not_pay() {
    // Caller, executor and owner are one: all that comes back is less than what was fined.
    let mut world = World::new(1);
    let execution = world.called(world.compute(0), |_, _| Act::Mute);
    let fine = execution.members[0].fine;
    let gained = execution.refunded.checked_sub(execution.paid_in).unwrap();
    assert!(gained < fine, "{gained} back for {fine}");
    assert_eq!(gained, tokens(10));
}

#[test]
fn odd_amounts_are_split_without_a_remainder_getting_lost() {
    let mut world = World::new(6);
    let mut odd = terms("acme/odd@1.0.0");
    for task in &mut odd.tasks {
        (task.price, task.check_price) = (units(7), units(7));
    }
    let service = odd.id();
    world.chain.done(&world.developer, Operation::Publish(Publish { terms: odd.into() }));
    world.chain.block(|block| {
        for node in &world.nodes {
            block.send(node, vec![crate::common::world::offer_of(service, node, node.address())]);
        }
    });
    world.service = service;
    let execution = world.called(world.compute(3), |_, _| says(truth()));
    // 10 % and 5 % of 7 units are nothing: all 7 are the node's.
    assert!(execution.members.iter().all(|m| m.earned == units(7)));
}

#[test]
fn a_price_above_the_callers_limit_takes_nothing() {
    let mut world = World::new(4);
    let call = althing_types::Call { price_max: units(39_999_999), ..world.compute(3) };
    assert_eq!(world.chain.rejected(&world.caller, Operation::Call(call)), "LED-0029");
}

#[test]
fn a_price_that_does_not_fit_is_no_gift() {
    let mut world = World::new(4);
    let mut dear = terms("acme/dear@1.0.0");
    dear.tasks[1].check_price = units(u128::MAX / 2);
    let service = dear.id();
    world.chain.done(&world.developer, Operation::Publish(Publish { terms: dear.into() }));
    let call = althing_types::Call { service, ..world.find(3) };
    assert_eq!(world.chain.rejected(&world.caller, Operation::Call(call)), "LED-0029");
}
