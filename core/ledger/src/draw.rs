//! Who works on an execution: a pure function of the beacon and the candidates.
//!
//! - The seed hashes the beacon of a block *after* the one that created the execution: whoever
//!   causes the execution cannot know it, and a proposer cannot choose it.
//! - Each seat goes to a candidate with a probability proportional to its weight, but a share of
//!   the draws is kept for newcomers, all alike.
//! - Nobody is drawn twice, and of each owner at most one.
//!
//! Source: paper B §5; `docs/adr/0003-beacon.md`.

use alloc::vec::Vec;

use althing_types::{Address, BasisPoints, Hash, Height, Label, LabelCondition, tagged};
use borsh::{BorshDeserialize, BorshSerialize};

/// Somebody who may be drawn.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Candidate {
    /// The node.
    pub node: Address,
    /// Its owner.
    pub owner: Address,
    /// See [`weight`](crate::weight); zero for who cannot be drawn.
    pub weight: u128,
    /// Whether it has done little so far.
    pub newcomer: bool,
    /// What it says of itself.
    pub labels: Vec<Label>,
}

/// Who of all candidates may be drawn for one execution.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restriction<'a> {
    /// These; any node if there is none.
    pub nodes: &'a [Address],
    /// Whoever says of itself what all of these ask for.
    pub labels: &'a [LabelCondition],
}

impl Restriction<'_> {
    /// Whether the candidate may be drawn.
    #[must_use]
    pub fn admits(&self, candidate: &Candidate) -> bool {
        (self.nodes.is_empty() || self.nodes.contains(&candidate.node))
            && self.labels.iter().all(|condition| condition.holds(&candidate.labels))
    }
}

/// All candidates for a service at a height, by ascending node. Nodes keep it by its hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Roster {
    /// The service.
    pub service: Hash,
    /// The height of the draw.
    pub height: Height,
    /// Share of draws that is kept for newcomers.
    pub newcomers_share: BasisPoints,
    /// The candidates.
    pub candidates: Vec<Candidate>,
}

impl Roster {
    /// Names the roster.
    #[must_use]
    pub fn hash(&self) -> Hash {
        tagged("althing roster", &[&althing_types::canonical::encode(self)])
    }
}

/// The seed of one draw.
#[must_use]
pub fn draw_seed(beacon: &Hash, execution: &Hash, round: u32, refill: u32) -> Hash {
    tagged("althing draw", &[&beacon.0, &execution.0, &round.to_be_bytes(), &refill.to_be_bytes()])
}

/// Draws up to `seats` nodes, in order, leaving out `excluded` ones and their owners, and everybody
/// whom `allowed` does not admit.
///
/// Equal on every node; fewer than `seats` if there are not enough candidates.
#[must_use]
pub fn draw(
    seed: &Hash,
    roster: &Roster,
    excluded: &[Address],
    allowed: Restriction<'_>,
    seats: usize,
) -> Vec<Address> {
    let barred: Vec<Address> =
        roster.candidates.iter().filter(|c| excluded.contains(&c.node)).map(|c| c.owner).collect();
    let may_sit = |c: &&Candidate| {
        !excluded.contains(&c.node)
            && !barred.contains(&c.owner)
            && allowed.admits(c)
            && c.weight > 0
    };
    let mut candidates: Vec<&Candidate> = roster.candidates.iter().filter(may_sit).collect();
    let mut drawn = Vec::new();
    for seat in 0..u32::try_from(seats).unwrap_or(u32::MAX) {
        let Some(chosen) = pick(seed, seat, &candidates, roster.newcomers_share) else { break };
        let (node, owner) = (chosen.node, chosen.owner);
        drawn.push(node);
        candidates.retain(|c| c.node != node && c.owner != owner);
    }
    drawn
}

/// The occupant of one seat.
fn pick<'a>(
    seed: &Hash,
    seat: u32,
    candidates: &[&'a Candidate],
    share: BasisPoints,
) -> Option<&'a Candidate> {
    let number = |purpose: &str| {
        let hash = tagged(purpose, &[&seed.0, &seat.to_be_bytes()]);
        let (first, _) = hash.0.split_first_chunk::<16>().expect("a hash has 32 bytes");
        u128::from_be_bytes(*first)
    };
    let newcomers: Vec<&&Candidate> = candidates.iter().filter(|c| c.newcomer).collect();
    let lot = number("althing newcomers").checked_rem(10_000).unwrap_or(0);
    if !newcomers.is_empty() && lot < u128::from(share.0) {
        let count = u128::try_from(newcomers.len()).unwrap_or(1);
        let index = usize::try_from(number("althing newcomer").checked_rem(count)?).unwrap_or(0);
        return newcomers.get(index).map(|c| **c);
    }
    let total = candidates.iter().fold(0u128, |sum, c| sum.saturating_add(c.weight));
    let mut point = number("althing seat").checked_rem(total)?;
    for candidate in candidates {
        match point.checked_sub(candidate.weight) {
            None => return Some(candidate),
            Some(rest) => point = rest,
        }
    }
    None
}
