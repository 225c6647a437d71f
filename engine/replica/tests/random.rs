//! Random operations of several accounts, on two replicas that see the same blocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use althing_ledger::{audit, query};
use althing_replica::application::Application as _;
use althing_types::{
    Amount, Bond, EndpointId, Hash, Nonce, Offer, Operation, Publish, Round, Unbond, Withdraw,
    keccak,
};
use common::{
    World, account, beacon, call, genesis, service, transaction, transfer, validator_key,
};
use proptest::prelude::*;

/// The accounts that ask.
const ACCOUNTS: u32 = 6;

/// What one account asks in one block.
#[derive(Clone, Debug)]
struct Ask {
    account: u64,
    kind: u8,
    amount: u64,
    other: u64,
}

fn operation(ask: &Ask) -> Operation {
    let Ask { account: _, kind, amount, other } = *ask;
    let id = service().id();
    match kind {
        0 | 1 => transfer(&account(other), u128::from(amount) * 1_000),
        2 => Operation::Publish(Publish { terms: service().into() }),
        3 => Operation::Offer(Offer {
            service: id,
            stake: Amount::from_base_units(u128::from(amount) * 100_000),
            term_ms: amount * 10,
            owner: validator_key(other).address(),
            endpoint: EndpointId::ZERO,
            labels: vec![],
        }),
        4 => Operation::Withdraw(Withdraw { service: id }),
        5 => Operation::Call(call(if amount % 5 == 0 { Hash::ZERO } else { id })),
        6 => Operation::Unbond(Unbond { amount: Amount::from_tokens(amount % 60) }),
        _ => Operation::Bond(Bond {
            amount: Amount::from_tokens(amount % 150),
            public_key: account(ask.account).public_key(),
            endpoint: EndpointId(keccak(&[&ask.account.to_be_bytes()]).0),
            beacon_key: beacon(100 + ask.account).key(),
        }),
    }
}

fn asks() -> impl Strategy<Value = Vec<Vec<Ask>>> {
    let ask = (0..u64::from(ACCOUNTS), 0..8_u8, 1..1_000_u64, 0..u64::from(ACCOUNTS))
        .prop_map(|(account, kind, amount, other)| Ask { account, kind, amount, other });
    prop::collection::vec(prop::collection::vec(ask, 0..12), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equal_blocks_give_equal_states_and_conserve_tokens(blocks in asks()) {
        // Whoever bonds gets a seat beside our two nodes, never instead of one, and does not propose here.
        let mut start = genesis(2);
        start.parameters.validators_max = 2 + ACCOUNTS;
        let mut world = World::of(start, 2);
        for block in blocks {
            for ask in &block {
                let key = account(ask.account);
                let nonce: Nonce = world.nonce(&key);
                let bytes = transaction(&key, nonce, vec![operation(ask)]).encode();
                for node in &mut world.nodes {
                    // A poor account's transactions are refused by both.
                    drop(node.replica.submit(&bytes));
                }
            }
            let height = world.nodes[0].replica.next_height();
            let set = world.nodes[0].replica.validators();
            let ours = |round: &Round| {
                let proposer = set.proposer(height, *round).map(|v| v.address);
                (0..2).any(|n| proposer == Some(validator_key(n).address()))
            };
            let round = (0..1_000).map(Round).find(ours).expect("ours stay in the set");
            world.time.add(500);
            world.round_of(round);
            let heads: Vec<_> = world.nodes.iter().map(|n| n.replica.reader().head()).collect();
            prop_assert_eq!(heads[0].tip, heads[1].tip);
            prop_assert_eq!(heads[0].view.root(), heads[1].view.root());
            let totals = audit(&heads[0].view).unwrap();
            prop_assert_eq!(totals, query::totals(&heads[1].view).unwrap());
        }
    }
}
