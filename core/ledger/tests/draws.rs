//! Draws: fair by weight, open to newcomers, one seat for each owner, and equal for ever.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use althing_ledger::{Candidate, Restriction, Roster, draw, draw_seed};
use althing_types::{Address, BasisPoints, Hash, Height, keccak};
use proptest::prelude::*;

use crate::common::{World, says, truth};
use crate::golden::assert_golden;

const DRAWS: u32 = 100_000;

fn node(n: u8) -> Address {
    Address([n; 20])
}

fn candidate(n: u8, weight: u128, newcomer: bool) -> Candidate {
    Candidate { node: node(n), owner: node(n), weight, newcomer, labels: vec![] }
}

fn roster(share: u32, candidates: Vec<Candidate>) -> Roster {
    let newcomers_share = BasisPoints(share);
    Roster { service: Hash::ZERO, height: Height(1), newcomers_share, candidates }
}

/// How often each was drawn for the first seat.
fn counts(roster: &Roster) -> BTreeMap<Address, u32> {
    let mut counts = BTreeMap::new();
    for n in 0..DRAWS {
        let seed = keccak(&[&n.to_be_bytes()]);
        let drawn = draw(&seed, roster, &[], Restriction::default(), 1);
        *counts.entry(drawn[0]).or_insert(0) += 1;
    }
    counts
}

/// Within five standard deviations of what is expected: one fair draw in two million is not.
fn assert_share(found: u32, share: f64, what: &str) {
    let draws = f64::from(DRAWS);
    let deviation = (draws * share * (1.0 - share)).sqrt();
    let distance = (f64::from(found) - draws * share).abs();
    assert!(distance < 5.0 * deviation, "{what}: {found} of {DRAWS} for a share of {share}");
}

#[test]
fn everybody_is_drawn_by_its_share_of_the_weight() {
    let weights = [1_u32, 2, 3, 5, 8, 13, 21, 47];
    let total: u32 = weights.iter().sum();
    let candidates =
        (1..).zip(weights).map(|(n, weight)| candidate(n, u128::from(weight) << 64, false));
    let counts = counts(&roster(1_000, candidates.collect()));
    for (n, weight) in (1..).zip(weights) {
        let found = counts.get(&node(n)).copied().unwrap_or(0);
        assert_share(found, f64::from(weight) / f64::from(total), &format!("weight {weight}"));
    }
}

#[test]
fn newcomers_get_their_share_alike_whatever_they_weigh() {
    let mut candidates: Vec<_> = (1..=8).map(|n| candidate(n, 1 << 70, false)).collect();
    candidates.push(candidate(9, 1, true));
    candidates.push(candidate(10, 1_000, true));
    let counts = counts(&roster(1_000, candidates));
    for n in [9, 10] {
        assert_share(counts[&node(n)], 0.05, "a newcomer");
    }
    for n in 1..=8 {
        assert_share(counts[&node(n)], 0.9 / 8.0, "an old hand");
    }
}

#[test]
fn without_newcomers_their_share_is_everybodys() {
    let old = roster(10_000, (1..=4).map(|n| candidate(n, 1, false)).collect());
    assert_eq!(draw(&Hash::ZERO, &old, &[], Restriction::default(), 9).len(), 4);
}

#[test]
fn executions_rounds_and_refills_have_draws_of_their_own() {
    let base = draw_seed(&Hash([1; 32]), &Hash([2; 32]), 0, 0);
    for other in [
        draw_seed(&Hash([9; 32]), &Hash([2; 32]), 0, 0),
        draw_seed(&Hash([1; 32]), &Hash([9; 32]), 0, 0),
        draw_seed(&Hash([1; 32]), &Hash([2; 32]), 1, 0),
        draw_seed(&Hash([1; 32]), &Hash([2; 32]), 0, 1),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn a_draw_can_be_replayed_from_its_record() {
    let mut world = World::new(12);
    let execution = world.called(world.compute(3), |e, _| {
        says(if e.round == 0 { crate::common::doubt() } else { truth() })
    });
    assert_eq!(execution.draws.len(), 2);
    for record in &execution.draws {
        let seed = draw_seed(&record.beacon, &execution.id, record.round, record.refill);
        let roster = &world.chain.rosters[&record.roster];
        let seats = usize::try_from(record.seats).unwrap();
        let drawn = draw(&seed, roster, &record.excluded, execution.restriction(), seats);
        assert_eq!(drawn, record.drawn);
    }
}

fn random_roster() -> impl Strategy<Value = Roster> {
    let candidate = (any::<u8>(), 0_u8..20, 0_u128..1 << 90, any::<bool>());
    let candidates = proptest::collection::vec(candidate, 0..30);
    (candidates, 0_u32..=10_000).prop_map(|(candidates, share)| {
        let by_node: BTreeMap<Address, Candidate> = candidates
            .into_iter()
            .map(|(n, owner, weight, newcomer)| {
                (node(n), Candidate { owner: node(owner), ..candidate_of(n, weight, newcomer) })
            })
            .collect();
        roster(share, by_node.into_values().collect())
    })
}

fn candidate_of(n: u8, weight: u128, newcomer: bool) -> Candidate {
    candidate(n, weight, newcomer && weight > 0)
}

proptest! {
    #[test]
    fn a_draw_seats_nobody_twice_nobody_barred_and_one_of_each_owner(
        seed in any::<[u8; 32]>(),
        roster in random_roster(),
        excluded in proptest::collection::vec(any::<u8>().prop_map(node), 0..4),
        allowed in proptest::collection::vec(any::<u8>().prop_map(node), 0..40),
        seats in 0_usize..12,
    ) {
        let drawn = draw(&Hash(seed), &roster, &excluded, Restriction { nodes: &allowed, labels: &[] }, seats);
        prop_assert!(drawn.len() <= seats);
        let find = |node: &Address| roster.candidates.iter().find(|c| c.node == *node).unwrap();
        let barred: Vec<Address> = roster
            .candidates
            .iter()
            .filter(|c| excluded.contains(&c.node))
            .map(|c| c.owner)
            .collect();
        let mut owners = vec![];
        for node in &drawn {
            let candidate = find(node);
            prop_assert!(!excluded.contains(node) && !barred.contains(&candidate.owner));
            prop_assert!(allowed.is_empty() || allowed.contains(node));
            prop_assert!(candidate.weight > 0);
            prop_assert!(!owners.contains(&candidate.owner));
            owners.push(candidate.owner);
        }
        // Only for want of candidates does a seat stay empty.
        let left = roster.candidates.iter().any(|c| {
            c.weight > 0
                && !excluded.contains(&c.node)
                && !barred.contains(&c.owner)
                && !owners.contains(&c.owner)
                && (allowed.is_empty() || allowed.contains(&c.node))
        });
        prop_assert!(drawn.len() == seats || !left);
    }
}

/// One line a draw: inputs, then who is drawn. Other implementations can check themselves by it.
#[test]
fn draws_are_these() {
    let mut text = String::from(
        "# execution | beacon | round | refill | newcomers' share in basis points | candidates \
         node:owner:weight:newcomer | excluded | allowed | seats | drawn, in order\n",
    );
    let list =
        |nodes: &[Address]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    for n in 0..40_u8 {
        let dice = keccak(&[b"golden draw", &[n]]).0;
        let candidates: Vec<Candidate> = (0..3 + n % 9)
            .map(|i| {
                let place = usize::from(i);
                let weight = u128::from(dice[place]) << (dice[place + 9] % 80);
                let owner = node(if dice[place + 1].is_multiple_of(4) { 1 } else { i + 1 });
                let newcomer = weight > 0 && dice[place + 2].is_multiple_of(3);
                Candidate { node: node(i + 1), owner, weight, newcomer, labels: vec![] }
            })
            .collect();
        let excluded: Vec<Address> = if n % 5 == 4 { vec![node(2)] } else { vec![] };
        let allowed: Vec<Address> = if n % 7 == 6 { (1..5).map(node).collect() } else { vec![] };
        let (execution, beacon) = (keccak(&[b"execution", &[n]]), keccak(&[b"beacon", &[n]]));
        let (round, refill) = (u32::from(n % 3), u32::from(n % 2));
        let (share, seats) = (u32::from(n) * 250, usize::from(1 + n % 6));
        let roster = roster(share, candidates);
        let seed = draw_seed(&beacon, &execution, round, refill);
        let drawn =
            draw(&seed, &roster, &excluded, Restriction { nodes: &allowed, labels: &[] }, seats);
        let of =
            |c: &Candidate| format!("{}:{}:{}:{}", c.node, c.owner, c.weight, u8::from(c.newcomer));
        let candidates: Vec<String> = roster.candidates.iter().map(of).collect();
        writeln!(
            text,
            "{execution} | {beacon} | {round} | {refill} | {share} | {} | {} | {} | {seats} | {}",
            candidates.join(","),
            list(&excluded),
            list(&allowed),
            list(&drawn)
        )
        .unwrap();
    }
    assert_golden("draws.txt", &text);
}
