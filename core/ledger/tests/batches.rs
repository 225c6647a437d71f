//! The same transactions in other blocks come to the same accounts and stakes.

use althing_types::{Operation, SignedTransaction, Transaction};
use proptest::prelude::*;

use crate::common::{Actor, Chain, World, actor, units};
use crate::transfers::transfer;
use crate::validators::{bond, unbond};

/// One transaction: who asks, all or none, and what: (kind, to whom, how much).
type Wish = (usize, bool, Vec<(u8, usize, u128)>);

fn people() -> Vec<Actor> {
    (0..4).map(|n| actor(1_000 + n)).collect()
}

fn operation(people: &[Actor], who: usize, wish: (u8, usize, u128)) -> Operation {
    match wish {
        (0..=3, to, amount) => transfer(&people[to], units(amount)),
        (4, _, amount) => bond(&people[who], units(amount / 100)),
        // More than is bonded, or nearly all: due times are the only trace that time leaves, so
        // what is unbonded must be refused for the rest to be equal.
        (_, _, amount) => unbond(units(amount.saturating_add(200_000_000_000))),
    }
}

/// Signed for whatever block they come to be in.
fn signed(chain: &Chain, wishes: &[Wish]) -> Vec<SignedTransaction> {
    let people = people();
    let mut nonces = [0; 4].map(althing_types::Nonce);
    for (nonce, person) in nonces.iter_mut().zip(&people) {
        *nonce = chain.account(&person.address()).nonce;
    }
    let sign = |(who, atomic, asked): &Wish| {
        let operations = asked.iter().map(|wish| operation(&people, *who, *wish)).collect();
        let unsigned = chain.transaction(people[*who].address(), nonces[*who], operations);
        nonces[*who] = nonces[*who].next();
        people[*who].sign(Transaction { atomic: *atomic, ..unsigned })
    };
    wishes.iter().map(sign).collect()
}

/// Makes blocks of these sizes, then one with the rest, then empty ones up to the same height.
fn run(chain: &Chain, signed: &[SignedTransaction], sizes: &[usize]) -> Chain {
    let mut chain = chain.clone();
    let until = chain.height.after(20);
    let mut left = signed;
    for size in sizes {
        let (now, later) = left.split_at((*size).min(left.len()));
        chain.block(|block| now.iter().for_each(|signed| block.send_raw(signed.clone())));
        left = later;
    }
    chain.block(|block| left.iter().for_each(|signed| block.send_raw(signed.clone())));
    while chain.height < until {
        chain.wait(1);
    }
    chain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn transactions_come_to_the_same_state_however_they_are_cut_into_blocks(
        wishes in prop::collection::vec(
            (
                0_usize..4,
                any::<bool>(),
                prop::collection::vec((0_u8..6, 0_usize..4, 0_u128..90_000_000_000), 1..4),
            ),
            1..24,
        ),
        sizes in prop::collection::vec(prop::collection::vec(0_usize..8, 0..12), 2..4),
    ) {
        let world = World::new(4);
        let signed = signed(&world.chain, &wishes);
        let at_once = run(&world.chain, &signed, &[]);
        let one_by_one = (0..signed.len()).map(|_| 1).take(18).collect::<Vec<_>>();
        for sizes in sizes.iter().chain([&one_by_one]) {
            let other = run(&world.chain, &signed, sizes);
            prop_assert_eq!(other.state.root(), at_once.state.root());
            prop_assert_eq!(&other.validators, &at_once.validators);
        }
    }
}
