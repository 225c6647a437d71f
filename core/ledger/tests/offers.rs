//! Offers: stake, term, suspension, leaving.

use althing_ledger::{OfferStatus, query};
use althing_types::{Amount, Hash, Offer, Operation, Resume, Withdraw};

use crate::common::world::{STAKE, STAKE_MIN, TERM_MS};
use crate::common::{Act, Actor, World, actor, endpoint, says, tokens, truth};
use crate::transfers::transfer;

fn offer(service: Hash, node: &Actor, stake: Amount, term_ms: u64) -> Operation {
    let (owner, endpoint) = (node.address(), endpoint(node));
    Operation::Offer(Offer { service, stake, term_ms, owner, endpoint, labels: vec![] })
}

const fn withdraw(service: Hash) -> Operation {
    Operation::Withdraw(Withdraw { service })
}

const fn resume(service: Hash) -> Operation {
    Operation::Resume(Resume { service })
}

fn offers_in_office(world: &World) -> u32 {
    query::service(&world.chain.state, &world.service).unwrap().unwrap().offers
}

#[test]
fn an_offer_takes_its_stake_and_may_be_raised_and_prolonged() {
    let mut world = World::new(1);
    let node = &world.nodes[0];
    let record = world.chain.offer(&world.service, &node.address());
    assert_eq!((record.stake, record.status), (STAKE, OfferStatus::Active));
    let until = world.chain.time.after(1).after(2 * TERM_MS);
    world.chain.done(node, offer(world.service, node, tokens(5), 2 * TERM_MS));
    let record = world.chain.offer(&world.service, &node.address());
    assert_eq!(record.stake, STAKE.saturating_add(tokens(5)));
    assert_eq!(record.term_until, until);
    assert_eq!(offers_in_office(&world), 1);
}

#[test]
fn offers_are_rejected_with_their_reasons() {
    let mut world = World::new(1);
    let (service, node) = (world.service, &world.nodes[0]);
    let nowhere = Hash([9; 32]);
    assert_eq!(world.chain.rejected(node, offer(nowhere, node, STAKE, 1)), "LED-0019");
    assert_eq!(
        world.chain.rejected(&world.caller, offer(service, &world.caller, tokens(499), TERM_MS)),
        "LED-0021"
    );
    assert_eq!(world.chain.rejected(node, offer(service, node, Amount::ZERO, 0)), "LED-0022");
    assert_eq!(
        world.chain.rejected(node, offer(service, node, Amount::ZERO, 1)),
        "LED-0022",
        "a term is never cut short"
    );
    let for_ever = offer(service, node, Amount::ZERO, 315_360_000_001);
    assert_eq!(world.chain.rejected(node, for_ever), "LED-0022");
    let beyond = offer(service, node, tokens(1_000_000), TERM_MS);
    assert_eq!(world.chain.rejected(node, beyond), "LED-0001");
    for operation in [withdraw(service), resume(service)] {
        assert_eq!(world.chain.rejected(&world.caller, operation), "LED-0024");
    }
    assert_eq!(world.chain.rejected(node, resume(service)), "LED-0026");
}

#[test]
fn leaving_before_the_term_costs_a_twentieth_of_the_stake() {
    let mut world = World::new(1);
    let (service, node) = (world.service, &world.nodes[0]);
    let treasury = world.chain.totals().treasury;
    let receipts = world.chain.block(|block| block.send(node, vec![withdraw(service)]));
    let fee = receipts[0].as_ref().unwrap().fee;
    let cost = tokens(50);
    assert_eq!(world.chain.totals().treasury, treasury.saturating_add(cost).saturating_add(fee));
    assert_eq!(world.chain.offer(&service, &node.address()).stake, tokens(950));

    assert_eq!(world.chain.rejected(node, withdraw(service)), "LED-0025");
    assert_eq!(world.chain.rejected(node, offer(service, node, STAKE, TERM_MS)), "LED-0025");
    let balance = world.chain.balance(node);
    world.chain.wait(60_000);
    assert_eq!(world.chain.balance(node), balance.saturating_add(tokens(950)));
    assert_eq!(world.chain.offer(&service, &node.address()).status, OfferStatus::Gone);
    assert_eq!(offers_in_office(&world), 0);
    assert_eq!(world.chain.rejected(node, withdraw(service)), "LED-0024", "it has left");
}

#[test]
fn leaving_after_the_term_costs_nothing() {
    let mut world = World::new(1);
    let (service, node) = (world.service, &world.nodes[0]);
    world.chain.wait(TERM_MS);
    world.chain.done(node, withdraw(service));
    assert_eq!(world.chain.offer(&service, &node.address()).stake, STAKE);
}

#[test]
fn who_leaves_is_drawn_no_more() {
    let mut world = World::new(2);
    world.chain.done(&world.nodes[0], withdraw(world.service));
    for _ in 0..10 {
        let execution = world.call_and_draw(world.compute(0));
        assert_eq!(execution.members[0].node, world.nodes[1].address());
    }
}

#[test]
fn absences_in_a_row_suspend_an_offer_until_it_resumes() {
    let mut world = World::new(1);
    let (service, node) = (world.service, world.nodes[0].address());
    for absences in 1..=3 {
        assert_eq!(world.record(&node).status, OfferStatus::Active);
        let call = world.compute(0);
        world.called(call, |_, _| Act::Mute);
        assert_eq!(world.record(&node).absences_in_a_row, absences);
    }
    assert_eq!(world.record(&node).status, OfferStatus::Suspended);
    let call = world.compute(0);
    let unserved = world.called(call, |_, _| says(truth()));
    assert!(unserved.members.is_empty(), "a suspended offer is not drawn");
    world.chain.done(&world.nodes[0], resume(service));
    let call = world.compute(0);
    assert_eq!(world.called(call, |_, _| says(truth())).members.len(), 1);
    assert_eq!(world.record(&node).absences_in_a_row, 0);
}

#[test]
fn work_that_is_done_wipes_out_earlier_absences() {
    let mut world = World::new(1);
    let node = world.nodes[0].address();
    for act in [Act::Mute, Act::Mute, says(truth()), Act::Mute, Act::Mute] {
        let call = world.compute(0);
        world.called(call, |_, _| act.clone());
    }
    assert_eq!(world.record(&node).status, OfferStatus::Active);
    assert_eq!(world.record(&node).absences_in_a_row, 2);
}

#[test]
fn a_stake_below_the_services_minimum_suspends_an_offer_until_it_is_raised() {
    let mut world = World::new(0);
    let node = actor(1_000);
    let service = world.service;
    world.chain.done(&world.caller, transfer(&node, tokens(2_000)));
    world.chain.done(&node, offer(service, &node, STAKE_MIN, TERM_MS));
    world.adopt(node);
    let call = world.compute(0);
    world.called(call, |_, _| Act::Mute);
    let node = &world.nodes[0];
    let record = world.chain.offer(&service, &node.address());
    // A lone absent executor: 500 × 1 % × f(1) = 1 × (1 + 1/1).
    assert_eq!((record.stake, record.status), (tokens(490), OfferStatus::Suspended));
    assert_eq!(world.chain.rejected(node, resume(service)), "LED-0021");
    world.chain.done(node, offer(service, node, tokens(10), TERM_MS));
    assert_eq!(world.chain.offer(&service, &node.address()).status, OfferStatus::Suspended);
    world.chain.done(node, resume(service));
    assert_eq!(world.chain.offer(&service, &node.address()).status, OfferStatus::Active);
}

#[test]
fn leaving_does_not_wash_a_history_white() {
    let mut world = World::new(1);
    let service = world.service;
    let node = world.nodes[0].address();
    let call = world.compute(0);
    world.called(call, |_, _| Act::Mute);
    let before = world.record(&node);
    world.chain.done(&world.nodes[0], withdraw(service));
    world.chain.wait(60_000);
    let gone = world.record(&node);
    assert_eq!((gone.status, gone.stake), (OfferStatus::Gone, Amount::ZERO));
    world.chain.done(&world.nodes[0], offer(service, &world.nodes[0], STAKE, TERM_MS));
    let after = world.record(&node);
    assert_eq!(after.status, OfferStatus::Active);
    assert_eq!((after.executor, after.fined), (before.executor, before.fined));
    assert_eq!(offers_in_office(&world), 1);
}

#[test]
fn offers_that_have_left_take_nobodys_place_in_a_draw() {
    let mut world = World::new(6);
    let service = world.service;
    let mut rich = 1_000;
    world.chain.block(|block| {
        for node in &world.nodes {
            block.send(node, vec![withdraw(service)]);
        }
    });
    world.chain.wait(60_000);
    let mut nodes: Vec<Actor> = (0..1_001).map(|n| actor(5_000 + n)).collect();
    nodes.sort_by_key(Actor::address);
    let last = nodes.pop().unwrap();
    // 100,000 tokens each: enough for 190 nodes.
    for chunk in nodes.chunks(190) {
        let funder = actor(rich);
        rich += 1;
        world.chain.block(|block| {
            let gifts = chunk.iter().map(|node| transfer(node, tokens(501)));
            block.send(&funder, gifts.collect());
        });
        world.chain.block(|block| {
            for node in chunk {
                block.send(node, vec![offer(service, node, STAKE_MIN, TERM_MS)]);
            }
        });
    }
    assert_eq!(offers_in_office(&world), 1_000);
    world.chain.done(&world.validator, transfer(&last, tokens(1_000)));
    let late = offer(service, &last, STAKE_MIN, TERM_MS);
    assert_eq!(world.chain.rejected(&last, late.clone()), "LED-0023", "a draw weighs 1,000 offers");
    world.chain.block(|block| {
        for node in &nodes {
            block.send(node, vec![withdraw(service)]);
        }
    });
    world.chain.wait(60_000);
    assert_eq!(offers_in_office(&world), 0);

    world.chain.done(&last, late);
    let execution = world.call_and_draw(world.compute(0));
    assert_eq!(execution.members[0].node, last.address());
}

#[test]
fn a_node_is_fined_after_it_has_asked_to_leave() {
    let mut world = World::new(1);
    let service = world.service;
    let call = world.compute(0);
    let id = world.call_and_draw(call).id;
    world.chain.wait(1);
    world.chain.done(&world.nodes[0], withdraw(service));
    let execution = world.run(id, |_, _| Act::Mute);
    assert_eq!(execution.members[0].fine, tokens(19), "2 % of what is left of the stake");
    assert_eq!(world.record(&world.nodes[0].address()).stake, tokens(931));
}

#[test]
fn a_node_may_offer_on_behalf_of_an_owner() {
    let mut world = World::new(1);
    let node = &world.nodes[0];
    world.chain.done(
        node,
        Operation::Offer(Offer {
            service: world.service,
            stake: Amount::ZERO,
            term_ms: 2 * TERM_MS,
            owner: world.caller.address(),
            endpoint: endpoint(node),
            labels: vec![],
        }),
    );
    assert_eq!(world.record(&node.address()).owner, world.caller.address());
}
