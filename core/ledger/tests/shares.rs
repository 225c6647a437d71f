//! Shares hold whatever the numbers are: fees and fines are split to the unit, and draws are fair.

use std::collections::BTreeMap;

use althing_ledger::{Candidate, MemberState, Receipt, Restriction, Role, Roster, draw};
use althing_types::{
    Address, Amount, BasisPoints, Call, Claim, Hash, Height, Operation, Opinion, Parameters,
    Publish, Verification, keccak,
};
use proptest::prelude::*;

use crate::common::world::{lie, name, offer_of, terms};
use crate::common::{Act, World, parameters, tokens, truth, units};

const DRAWS: u32 = 100_000;

/// Prices, shares and committees as odd as they may be.
#[derive(Clone, Debug)]
struct Odd {
    price: u128,
    check_price: u128,
    developer: u32,
    treasury: u32,
    burned: u32,
    method: bool,
    checkers: u16,
    dice: u64,
}

fn odd() -> impl Strategy<Value = Odd> {
    let price = || prop_oneof![0_u128..20, 0_u128..50_000_000, Just(1)];
    let share = || prop_oneof![Just(0_u32), 0_u32..5_000, Just(5_000), Just(3_333)];
    let burned = prop_oneof![Just(0_u32), Just(10_000), 0_u32..10_000];
    (price(), price(), share(), share(), burned, any::<bool>(), 0_u16..6, any::<u64>()).prop_map(
        |(price, check_price, developer, treasury, burned, method, checkers, dice)| {
            let check_price = if method { check_price } else { price };
            Odd { price, check_price, developer, treasury, burned, method, checkers, dice }
        },
    )
}

/// A world in which the service costs this much.
fn world(odd: &Odd) -> World {
    let rules = Parameters {
        developer_share: BasisPoints(odd.developer),
        treasury_share: BasisPoints(odd.treasury),
        slash_burned: BasisPoints(odd.burned),
        ..parameters()
    };
    let mut world = World::with(rules, 12);
    let mut terms = terms("acme/odd@1.0.0");
    for task in &mut terms.tasks {
        let deterministic = task.name == name("compute");
        task.price = units(odd.price);
        task.check_price = units(if deterministic { odd.price } else { odd.check_price });
    }
    let service = terms.id();
    world.chain.done(&world.developer, Operation::Publish(Publish { terms: terms.into() }));
    world.chain.block(|block| {
        for node in &world.nodes {
            block.send(node, vec![offer_of(service, node, node.address())]);
        }
    });
    world.service = service;
    world
}

fn fees(world: &World, from: usize) -> Amount {
    let fee = |receipt: &Receipt| match receipt {
        Receipt::Transaction(receipt) => Some(receipt.fee),
        Receipt::Execution(_) | Receipt::Event(_) | Receipt::Run(_) => None,
    };
    world.chain.receipts[from..].iter().filter_map(|(_, receipt)| fee(receipt)).sum()
}

/// How often each of a roster's candidates sits in the first seats.
fn counts(roster: &Roster, seats: usize) -> Vec<BTreeMap<Address, u32>> {
    let mut counts = vec![BTreeMap::new(); seats];
    for n in 0..DRAWS {
        let drawn = draw(
            &keccak(&[b"share", &n.to_be_bytes()]),
            roster,
            &[],
            Restriction::default(),
            seats,
        );
        for (seat, node) in drawn.iter().enumerate() {
            *counts[seat].entry(*node).or_insert(0) += 1;
        }
    }
    counts
}

/// What the draw promises: a newcomer has an equal part of their share, and everybody by weight has
/// of the rest.
fn promised(candidates: &[Candidate], share: f64) -> Vec<f64> {
    let newcomers = candidates.iter().filter(|c| c.newcomer).count();
    #[expect(clippy::cast_precision_loss, reason = "weights of a test are small")]
    let weight = |c: &Candidate| c.weight as f64;
    let total: f64 = candidates.iter().map(weight).sum();
    let kept = if newcomers == 0 { 0.0 } else { share };
    let of = |c: &Candidate| {
        let as_newcomer =
            if c.newcomer { kept / f64::from(u32::try_from(newcomers).unwrap()) } else { 0.0 };
        as_newcomer + (1.0 - kept) * weight(c) / total
    };
    candidates.iter().map(of).collect()
}

/// Within five standard deviations, and one draw for rounding.
fn assert_fair(found: u32, share: f64, what: &str) {
    let draws = f64::from(DRAWS);
    let deviation = (draws * share * (1.0 - share)).sqrt();
    let distance = (f64::from(found) - draws * share).abs();
    assert!(distance <= 5.0 * deviation + 1.0, "{what}: {found} of {DRAWS} for a share of {share}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_paid_in_and_fined_is_shared_out_to_the_unit(odd in odd()) {
        let mut world = world(&odd);
        let base = if odd.method { world.find(odd.checkers) } else { world.compute(odd.checkers) };
        let burned = world.chain.totals().burned;
        let (treasury, developer) =
            (world.chain.totals().treasury, world.chain.balance(&world.developer));
        let (payer, receipts) = (world.chain.balance(&world.caller), world.chain.receipts.len());
        let id = world.call(Call { price_max: tokens(1_000), ..base });
        let call_fee = fees(&world, receipts);
        let execution = world.run(id, |execution, member| {
            let dice = keccak(&[&odd.dice.to_be_bytes(), &execution.id.0, &member.node.0]).0[0];
            let method = execution.verification == Verification::Method;
            let checks = method && member.role == Role::Checker;
            let answers = !checks && (method || execution.checkers == 0);
            let claim = |outcome, opinion| {
                if checks { Claim::Opinion(opinion) } else { Claim::Outcome(outcome) }
            };
            match dice % 8 {
                0 => Act::Mute,
                1 => Act::Say(claim(lie(1), Opinion::Invalid)),
                2 if answers => Act::Mute,
                2 => Act::Hide(claim(truth(), Opinion::Valid)),
                _ => Act::Say(claim(truth(), Opinion::Valid)),
            }
        });
        let paid_in = odd.price + odd.check_price * u128::from(odd.checkers);
        prop_assert_eq!(execution.paid_in.base_units(), paid_in);
        let totals = world.chain.totals();
        let since = |now: Amount, then: Amount| now.checked_sub(then).unwrap().base_units();
        let earned: u128 = execution.members.iter().map(|m| m.earned.base_units()).sum();
        let fined: u128 = execution.members.iter().map(|m| m.fine.base_units()).sum();
        let burned = since(totals.burned, burned);
        let for_treasury = since(totals.treasury, treasury) - fees(&world, receipts).base_units();
        let for_developer = since(world.chain.balance(&world.developer), developer);
        let refunded = execution.refunded.base_units();
        prop_assert_eq!(
            paid_in + fined,
            earned + for_developer + for_treasury + refunded + burned,
            "{:?}", execution
        );
        // Each fine is burned in part, rounded down.
        let burn = |m: &althing_ledger::Member| m.fine.base_units() * u128::from(odd.burned) / 10_000;
        let least: u128 = execution.members.iter().map(burn).sum();
        prop_assert!(burned <= least && least - burned <= execution.members.len() as u128);
        // The payer has paid in, and the call's fee; out of the fines it may get back more than that.
        let now = world.chain.balance(&world.caller).base_units();
        let (before, fee) = (payer.base_units(), call_fee.base_units());
        prop_assert_eq!(now + paid_in + fee, before + refunded);
        // Nobody who did not open its claim earns, and nobody earns more than the gross and the fines.
        for member in &execution.members {
            let opened = matches!(member.state, MemberState::Opened(_));
            prop_assert!(opened || member.earned.is_zero());
            prop_assert!(member.earned.base_units() <= odd.price.max(odd.check_price) + fined);
        }
    }

    #[test]
    fn two_shares_of_an_amount_and_the_rest_are_the_amount(
        amount in 0_u128..1 << 96, first in 0_u32..=10_000, second in 0_u32..=10_000,
    ) {
        let second = second.min(10_000 - first);
        let whole = units(amount);
        let parts = [first, second].map(|share| BasisPoints(share).of(whole));
        let rest = whole.checked_sub(parts[0]).and_then(|rest| rest.checked_sub(parts[1])).unwrap();
        for (share, part) in [first, second].into_iter().zip(parts) {
            prop_assert_eq!(part.base_units(), amount * u128::from(share) / 10_000);
        }
        let left = amount * u128::from(10_000 - first - second) / 10_000;
        prop_assert!((left..=left + 2).contains(&rest.base_units()), "rounding is the rest's gain");
    }
}

proptest! {
    // Each is a hundred thousand draws.
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn any_roster_is_drawn_from_by_weight_and_by_the_newcomers_share(
        weights in proptest::collection::vec((1_u32..5_000, any::<bool>()), 2..9),
        share in prop_oneof![Just(0_u32), Just(1_000), Just(10_000), 0_u32..10_000],
    ) {
        let candidates: Vec<Candidate> = (1_u8..)
            .zip(&weights)
            .map(|(n, (weight, newcomer))| {
                let node = Address([n; 20]);
                Candidate { node, owner: node, weight: u128::from(*weight), newcomer: *newcomer, labels: vec![] }
            })
            .collect();
        let newcomers_share = BasisPoints(share);
        let roster = Roster {
            service: Hash::ZERO,
            height: Height(1),
            newcomers_share,
            candidates: candidates.clone(),
        };
        let share = f64::from(share) / 10_000.0;
        let first = promised(&candidates, share);
        // The second seat is drawn in the same way from those whom the first one left.
        let mut second = vec![0.0; candidates.len()];
        for (out, chance) in first.iter().enumerate() {
            let mut rest = candidates.clone();
            rest.remove(out);
            for (index, part) in promised(&rest, share).into_iter().enumerate() {
                second[index + usize::from(index >= out)] += chance * part;
            }
        }
        let counts = counts(&roster, 2);
        for (seat, shares) in [first, second].iter().enumerate() {
            for (candidate, share) in candidates.iter().zip(shares) {
                let found = counts[seat].get(&candidate.node).copied().unwrap_or(0);
                assert_fair(found, *share, &format!("seat {seat}, {candidate:?}"));
            }
        }
    }
}
