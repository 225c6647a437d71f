//! Transfers of tokens.

use althing_ledger::Rejection;
use althing_types::{Amount, Operation, Transfer};

use crate::common::world::ENDOWMENT;
use crate::common::{Actor, World, actor, tokens, units};

pub(crate) fn transfer(to: &Actor, amount: Amount) -> Operation {
    Operation::Transfer(Transfer { to: to.address(), amount })
}

#[test]
fn a_transfer_moves_its_amount_and_costs_its_sender_the_fee() {
    let mut world = World::new(0);
    let to = actor(50);
    let treasury = world.chain.totals().treasury;
    let before = world.chain.balance(&world.caller);
    let receipts =
        world.chain.block(|block| block.send(&world.caller, vec![transfer(&to, tokens(7))]));
    let fee = receipts[0].as_ref().unwrap().fee;
    // 1,000 and one for each of the transaction's 167 bytes.
    assert_eq!(fee, units(1_167));
    assert_eq!(world.chain.balance(&to), tokens(7));
    assert_eq!(
        world.chain.balance(&world.caller),
        before.saturating_sub(tokens(7)).saturating_sub(fee)
    );
    assert_eq!(world.chain.totals().treasury, treasury.saturating_add(fee));
}

#[test]
fn a_transfer_to_oneself_costs_the_fee_alone() {
    let mut world = World::new(0);
    let receipts = world
        .chain
        .block(|block| block.send(&world.caller, vec![transfer(&world.caller, tokens(7))]));
    let fee = receipts[0].as_ref().unwrap().fee;
    assert_eq!(world.chain.balance(&world.caller), ENDOWMENT.saturating_sub(fee));
}

#[test]
fn nobody_spends_more_than_it_has() {
    let mut world = World::new(0);
    let rejection = world.chain.rejection(&world.caller, transfer(&actor(50), ENDOWMENT));
    assert_eq!(rejection.code(), "LED-0001");
    let Rejection::InsufficientBalance { needed, available } = rejection else { panic!() };
    assert_eq!(needed, ENDOWMENT);
    assert!(available < ENDOWMENT, "the fee is gone first");
}

#[test]
fn a_transfer_of_nothing_is_rejected() {
    let mut world = World::new(0);
    assert_eq!(world.chain.rejected(&world.caller, transfer(&actor(50), Amount::ZERO)), "LED-0002");
}

#[test]
fn transfers_in_one_block_see_each_other_in_order() {
    let mut world = World::new(0);
    let (first, second) = (actor(50), actor(51));
    world.chain.done(&world.caller, transfer(&first, tokens(1)));
    let receipts = world.chain.block(|block| {
        block.send(&world.caller, vec![transfer(&first, tokens(100))]);
        block.send(&first, vec![transfer(&second, tokens(100))]);
    });
    assert!(receipts.iter().all(Result::is_ok), "{receipts:?}");
    assert_eq!(world.chain.balance(&second), tokens(100));
}
