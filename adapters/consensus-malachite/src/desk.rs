//! The engine's questions about blocks, and the application's answers: without actors, clock or network.
//!
//! [`Host`](crate::host::Host) asks it from the engine's actors, [`stepped`](crate::stepped) from one
//! thread; the answers are the same.
//!
//! - Errors: a [`Fault`] of the application ends the engine.
//! - Invariants: only blocks of the height that comes next are judged; what one validator may leave on the
//!   disk is bounded by [`BODIES_PER_ROUND`], [`ROUNDS_AHEAD_MAX`] and [`EARLY_ROUNDS`].

use std::collections::BTreeMap;

use althing_replica::application::{Application, Fault};
use althing_replica::context::{
    BlockHeight, BlockValue, BodyInit, Chain, Members, Part, Voter, defined_round, double_vote,
    from_commits, seal_digest, to_extended_commits,
};
use althing_types::{BlockId, Evidence, Height};
use malachite_core::{MisbehaviorEvidence, ProposedValue};
use malachite_sync::RawDecidedValue;
use malachite_types::{CommitCertificate, Round, Validity};

use crate::codec::{SYNC_BYTES_MAX, SYNC_HEIGHTS_MAX};
use crate::parts::{Body, HEIGHTS_AHEAD_MAX, parts_of};
use crate::signing::{Checker, ConsensusSigner};

/// Blocks above the last commit that are kept in mind.
const PROPOSALS_MAX: usize = 64;

/// Bodies that one proposer may bring for one round. A second one convicts it; a third one is too many.
const BODIES_PER_ROUND: u8 = 2;

/// How far above the round under way a body may be. Whoever is further behind hears of the decision by sync.
const ROUNDS_AHEAD_MAX: u32 = 16;

/// Rounds of a height that has not begun: a body that comes early saves time, and is not needed.
const EARLY_ROUNDS: u32 = 4;

/// Double votes of one height that are passed on.
const EVIDENCE_MAX: usize = 16;

/// A block above the last commit; its body is in the application's storage.
struct Known {
    value: ProposedValue<Chain>,
    /// Its height was not the next when it came: proposer and validity are still to be judged.
    early: bool,
}

impl Known {
    fn is(&self, height: BlockHeight, round: Round, block: &BlockId) -> bool {
        let value = &self.value;
        (value.height, value.round, value.value.0) == (height, round, *block)
    }
}

/// What is remembered of blocks from one question to the next.
#[derive(Default)]
pub(crate) struct Desk {
    known: Vec<Known>,
    /// How many bodies were taken of whom, above the last commit.
    taken: BTreeMap<(Height, u32, Voter), u8>,
    /// The round under way.
    round: u32,
    /// The height under way is being decided by sync.
    syncing: bool,
}

fn validity(valid: bool) -> Validity {
    if valid { Validity::Valid } else { Validity::Invalid }
}

/// The engine works with defined rounds.
pub(crate) fn round_of(round: Round) -> Result<althing_types::Round, Fault> {
    let undefined = "the engine speaks of a nil round, or of one beyond the bound";
    defined_round(round).ok_or_else(|| Fault::new("answering the consensus engine", undefined))
}

impl Desk {
    /// What is already here of a round that begins.
    pub(crate) fn started_round(
        &mut self,
        application: &mut impl Application,
        members: &Members,
        height: Height,
        round: Round,
    ) -> Result<Vec<ProposedValue<Chain>>, Fault> {
        self.round = round.as_u32().unwrap_or(0);
        let mut values = Vec::new();
        let mut kept = Vec::with_capacity(self.known.len());
        for mut known in self.known.drain(..) {
            let value = &mut known.value;
            if value.height.0 < height {
                continue;
            }
            if value.height.0 == height {
                if known.early {
                    let proposer = members.proposer(height, value.round);
                    if proposer.map(|member| member.address) != Some(value.proposer) {
                        continue;
                    }
                    let round = round_of(value.round)?;
                    value.validity = validity(application.revalidate(&value.value.0, round)?);
                    known.early = false;
                }
                values.push(value.clone());
            }
            kept.push(known);
        }
        self.known = kept;
        Ok(values)
    }

    /// Takes a body that a peer has streamed; the value is for the engine, if its height is the next.
    pub(crate) fn received(
        &mut self,
        application: &mut impl Application,
        body: &Body,
    ) -> Result<Option<ProposedValue<Chain>>, Fault> {
        let BodyInit { height, round, pol_round, proposer, block, .. } = body.init;
        let next = application.next_height();
        let in_range = height.0 >= next && height.0 <= next.after(HEIGHTS_AHEAD_MAX);
        let early = height.0 > next;
        let known = self.known.iter().position(|known| known.is(height, round, &block));
        // One that came early may have been spoiled on its way: it may come again, as it should be.
        let is_refused = |known: &Known| !known.early && known.value.validity == Validity::Invalid;
        let again = known.filter(|at| self.known.get(*at).is_some_and(is_refused));
        if !in_range || (known.is_some() && again.is_none()) {
            return Ok(None);
        }
        if again.is_none() && !self.has_room(height.0, early, round, proposer) {
            tracing::debug!(%height, %proposer, "a body too many");
            return Ok(None);
        }
        let round_number = round_of(round)?;
        let received = application.receive(height.0, round_number, proposer.0, &body.bytes)?;
        let Some((id, valid)) = received.filter(|(id, _)| *id == block) else {
            tracing::debug!(%height, %proposer, "a body is not the one that was sealed");
            return Ok(None);
        };
        let value = ProposedValue {
            height,
            round,
            valid_round: pol_round,
            proposer,
            value: BlockValue(id),
            validity: validity(valid),
        };
        if let Some(known) = again.and_then(|at| self.known.get_mut(at)) {
            known.value.clone_from(&value);
            return Ok(valid.then_some(value));
        }
        // Only what is kept counts: whoever relays garbage must not crowd out the proposer.
        self.take(height.0, round, proposer);
        if self.known.len() < PROPOSALS_MAX {
            self.known.push(Known { value: value.clone(), early });
        }
        Ok((!early).then_some(value))
    }

    /// Takes a decided body that a peer has sent.
    pub(crate) fn received_synced(
        &mut self,
        application: &mut impl Application,
        height: BlockHeight,
        round: Round,
        proposer: Voter,
        body: &[u8],
    ) -> Result<Synced, Fault> {
        if height.0 != application.next_height() {
            return Ok(Synced::NotNow);
        }
        let received =
            application.receive_certified(height.0, round_of(round)?, proposer.0, body)?;
        let Some((id, valid)) = received else { return Ok(Synced::Garbled) };
        self.syncing = true;
        let (valid_round, value) = (Round::Nil, BlockValue(id));
        let validity = validity(valid);
        Ok(Synced::Value(ProposedValue { height, round, valid_round, proposer, value, validity }))
    }

    /// Makes a decision durable; true if it came by sync.
    pub(crate) fn decided(
        &mut self,
        application: &mut impl Application,
        certificate: &CommitCertificate<Chain>,
    ) -> Result<bool, Fault> {
        const OPERATION: &str = "committing a block";
        let ours = from_commits(certificate);
        let ours = ours.ok_or_else(|| Fault::new(OPERATION, "a nil round"))?;
        let height = ours.height;
        application.commit(ours)?;
        if application.next_height() != height.next() {
            let stuck = "the application did not move to the next height";
            return Err(Fault::new(OPERATION, stuck));
        }
        self.known.retain(|known| known.value.height.0 > height);
        self.taken.retain(|(of, ..), _| *of > height);
        self.round = 0;
        Ok(self.syncing)
    }

    /// Whether one more body of this proposer may be kept.
    fn has_room(&self, height: Height, early: bool, round: Round, proposer: Voter) -> bool {
        let Some(number) = round.as_u32() else { return false };
        let first_beyond = if early {
            EARLY_ROUNDS
        } else {
            self.round.saturating_add(ROUNDS_AHEAD_MAX).saturating_add(1)
        };
        let taken = self.taken.get(&(height, number, proposer)).copied().unwrap_or(0);
        number < first_beyond && taken < BODIES_PER_ROUND
    }

    /// Counts a body of this proposer.
    fn take(&mut self, height: Height, round: Round, proposer: Voter) {
        let number = round.as_u32().unwrap_or(0);
        let taken = self.taken.entry((height, number, proposer)).or_default();
        *taken = taken.saturating_add(1);
    }

    /// Whether the height that was just finalized came by sync; asked once.
    pub(crate) fn take_syncing(&mut self) -> bool {
        std::mem::take(&mut self.syncing)
    }
}

/// What a peer's decided body is.
pub(crate) enum Synced {
    /// A block.
    Value(ProposedValue<Chain>),
    /// Not what the certificate is for: the peer's fault.
    Garbled,
    /// Of another height than the next one.
    NotNow,
}

/// The double votes among what the engine has gathered.
pub(crate) fn double_votes(
    evidence: &MisbehaviorEvidence<Chain>,
) -> impl Iterator<Item = Evidence> + use<'_> {
    let pairs = evidence.votes.iter().flat_map(|(_, pairs)| pairs);
    pairs.filter_map(|(one, other)| double_vote(one, other)).take(EVIDENCE_MAX)
}

/// Decided heights for a peer that is behind, within the bounds of one response.
pub(crate) fn history(
    from: Height,
    to: Height,
    mut decided: impl FnMut(Height) -> Result<Option<(Vec<u8>, althing_types::Certificate)>, Fault>,
) -> Result<Vec<RawDecidedValue<Chain>>, Fault> {
    let mut values = Vec::new();
    let mut bytes = 0;
    let mut height = from;
    while height <= to && values.len() < SYNC_HEIGHTS_MAX && bytes < SYNC_BYTES_MAX {
        let Some((body, certificate)) = decided(height)? else { break };
        bytes += body.len();
        values.push(RawDecidedValue::new(body.into(), to_extended_commits(&certificate)));
        height = height.next();
    }
    Ok(values)
}

/// The sealed parts of a body, in order.
pub(crate) fn sealed_parts<'a>(
    checker: &Checker,
    signer: &dyn ConsensusSigner,
    height: Height,
    round: Round,
    pol_round: Round,
    (block, body): (BlockId, &'a [u8]),
    part_bytes: usize,
) -> Result<impl Iterator<Item = Part> + use<'a>, Fault> {
    let too_long = || Fault::new("streaming a block", "the body is longer than 4 GiB");
    let digest = seal_digest(&checker.eip712, height, round, &block);
    let digest = digest.ok_or_else(|| Fault::new("streaming a block", "a nil round"))?;
    let init = BodyInit {
        height: BlockHeight(height),
        round,
        pol_round,
        proposer: Voter(signer.address()),
        block,
        bytes: u32::try_from(body.len()).map_err(|_| too_long())?,
        seal: signer.sign(&digest),
    };
    Ok(parts_of(init, body, part_bytes))
}

#[cfg(test)]
mod tests {
    use althing_types::Address;

    use super::*;

    const ONE: Voter = Voter(Address([1; 20]));
    const TWO: Voter = Voter(Address([2; 20]));

    fn take(desk: &mut Desk, early: bool, round: u32, proposer: Voter) -> bool {
        let room = desk.has_room(Height(7), early, Round::new(round), proposer);
        if room {
            desk.take(Height(7), Round::new(round), proposer);
        }
        room
    }

    fn taken(desk: &mut Desk, early: bool, rounds: u32, proposer: Voter) -> usize {
        let tries = (0..rounds).flat_map(|round| [round; 10]);
        tries.filter(|round| take(desk, early, *round, proposer)).count()
    }

    const BLOCK: BlockId = althing_types::Hash([3; 32]);

    /// Waits for height 7; takes good bytes for a valid block and bytes that came early for any block.
    struct Waiting(Height);

    impl Application for Waiting {
        fn next_height(&self) -> Height {
            self.0
        }
        fn validators(&self) -> althing_types::ValidatorSet {
            althing_types::ValidatorSet::default()
        }
        fn propose(
            &mut self,
            _: Height,
            _: althing_types::Round,
        ) -> Result<(BlockId, Vec<u8>), Fault> {
            Err(Fault::new("proposing", "it is not asked to"))
        }
        fn receive(
            &mut self,
            height: Height,
            _: althing_types::Round,
            _: Address,
            body: &[u8],
        ) -> Result<Option<(BlockId, bool)>, Fault> {
            let (ripe, good) = (height == self.0, body == b"good");
            Ok((good || !ripe).then_some((BLOCK, good && ripe)))
        }
        fn revalidate(&mut self, _: &BlockId, _: althing_types::Round) -> Result<bool, Fault> {
            Ok(false)
        }
        fn body(&self, _: &BlockId) -> Result<Option<Vec<u8>>, Fault> {
            Ok(None)
        }
        fn commit(&mut self, _: althing_types::Certificate) -> Result<(), Fault> {
            Ok(())
        }
        fn decided(
            &self,
            _: Height,
        ) -> Result<Option<(Vec<u8>, althing_types::Certificate)>, Fault> {
            Ok(None)
        }
        fn history_min(&self) -> Height {
            Height(1)
        }
        fn misbehaviour(&mut self, _: Evidence) {}
    }

    fn body(bytes: &[u8]) -> Body {
        let init = BodyInit {
            height: BlockHeight(Height(7)),
            round: Round::ZERO,
            pol_round: Round::Nil,
            proposer: ONE,
            block: BLOCK,
            bytes: 4,
            seal: althing_types::VoteSignature([1; 64]),
        };
        Body { init, bytes: bytes.to_vec() }
    }

    #[test]
    fn whoever_relays_other_bytes_under_a_proposers_seal_takes_no_place_from_its_block() {
        let (mut desk, mut application) = (Desk::default(), Waiting(Height(7)));
        for _ in 0..10 {
            assert_eq!(desk.received(&mut application, &body(b"evil")).unwrap(), None);
        }
        let value = desk.received(&mut application, &body(b"good")).unwrap();
        assert_eq!(value.map(|value| value.validity), Some(Validity::Valid));
    }

    #[test]
    fn a_block_that_was_spoiled_when_it_came_early_is_taken_when_it_comes_again() {
        let (mut desk, mut application) = (Desk::default(), Waiting(Height(6)));
        assert_eq!(desk.received(&mut application, &body(b"evil")).unwrap(), None);
        application.0 = Height(7);
        let set = althing_types::ValidatorSet::new(vec![althing_types::Validator {
            address: ONE.0,
            public_key: althing_types::PublicKey([2; 33]),
            endpoint: althing_types::EndpointId([2; 32]),
            beacon_key: althing_types::BeaconKey([2; 32]),
            power: 1,
        }]);
        let members = Members::new(set);
        let begun = desk.started_round(&mut application, &members, Height(7), Round::ZERO);
        let judged: Vec<Validity> = begun.unwrap().iter().map(|value| value.validity).collect();
        assert_eq!(judged, [Validity::Invalid]);
        let value = desk.received(&mut application, &body(b"good")).unwrap();
        assert_eq!(value.map(|value| value.validity), Some(Validity::Valid));
        assert_eq!(desk.received(&mut application, &body(b"good")).unwrap(), None, "once");
    }

    #[test]
    fn what_a_proposer_leaves_on_the_disk_for_a_height_to_come_is_bounded() {
        let mut desk = Desk::default();
        assert_eq!(taken(&mut desk, true, 1_000, ONE), 8);
        assert_eq!(taken(&mut desk, true, 1_000, ONE), 0);
        // One that overdoes it costs the others nothing.
        assert!(take(&mut desk, true, 0, TWO));
    }

    #[test]
    fn what_a_proposer_leaves_on_the_disk_for_the_height_under_way_grows_with_its_rounds_alone() {
        let mut desk = Desk::default();
        assert_eq!(taken(&mut desk, false, 1_000, ONE), 2 * 17);
        assert_eq!(taken(&mut desk, false, 1_000, ONE), 0);
        desk.round = 3;
        assert_eq!(taken(&mut desk, false, 1_000, ONE), 2 * 3);
        assert!(!desk.has_room(Height(7), false, Round::Nil, ONE));
    }
}
