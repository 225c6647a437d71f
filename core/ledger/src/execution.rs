//! An execution: one call of a task, from the call to its settlement.
//!
//! ```text
//!  deterministic   Created ─draw─► Working ─all sealed─► Revealing ─all opened─► Settled
//!  with a method   Created ─draw─► Working ─answer─► Checking ─► Revealing ──► Settled
//!  no checkers     Created ─draw─► Working ─answer─────────────────────────► Settled
//!
//!  Created   nobody to draw by the deadline       → Settled(Expired), refund
//!  Working   a member misses the deadline         → a substitute takes its place; none left and
//!  Checking                                         no quorum possible → a later draw fills up
//!  Revealing a member does not open               → judged without it
//!  any       no quorum                            → Created again, larger committee, bounded;
//!                                                   then Settled(Failed), refund
//! ```
//!
//! Every phase has a deadline (`due`) and a successor; none needs one particular node. A deadline that
//! passes while the chain stands still is moved once it goes on (`standstill`).

use alloc::vec::Vec;

use althing_types::{
    Address, Amount, BlobRef, Claim, EndpointId, Hash, Height, LabelCondition, Name, Opening,
    Outcome, Payload, StepInput, TimeMs, Verification,
};
use althing_workflow::Attempt;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::Restriction;
use crate::books::{Holds, Pot};

/// What an execution waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Phase {
    /// For a committee: drawn with the beacon of the next block, unless one node alone can be drawn.
    Created,
    /// For the committee's seals, or for the executor's open answer.
    Working,
    /// For the checkers' sealed opinions of the executor's answer.
    Checking,
    /// For the seals to be opened.
    Revealing,
    /// For nothing: the execution is in the block's receipts.
    Settled,
}

/// A member's part in the committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Role {
    /// Runs the task.
    Executor,
    /// Checks it.
    Checker,
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum MemberState {
    /// A checker that waits for the executor's answer.
    Standby,
    /// It has to seal, or to answer.
    Assigned,
    /// It has committed itself.
    Sealed(Hash),
    /// It has shown its claim.
    Opened(Claim),
    /// It missed the deadline.
    Absent,
    /// It sealed and did not open.
    Withheld(Hash),
    /// It opened with something that it had not sealed: the seal was not its own work.
    Forged {
        /// The seal.
        commitment: Hash,
        /// What it signed as the opening; it does not fit.
        opening: Opening,
    },
    /// The round ended without it having been asked.
    Released,
}

/// Why a member was fined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Offence {
    /// Its result differs from the one that the quorum reached.
    WrongResult,
    /// Its check differs from the quorum's.
    WrongCheck,
    /// It could not open its own seal.
    ForgedSeal,
    /// It did not open its seal, or did not hand over its output.
    Withheld,
    /// It was not there.
    Absence,
    /// Its observation of an event contradicts the one that was agreed on.
    WrongObservation,
}

/// One node's part in one round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// The node.
    pub node: Address,
    /// Its part.
    pub role: Role,
    /// The round for which it was drawn.
    pub round: u32,
    /// How far it has come.
    pub state: MemberState,
    /// For what it was fined, if it was.
    pub offence: Option<Offence>,
    /// The fine, taken from its stake for the service.
    pub fine: Amount,
    /// Its reward, without the developer's and the treasury's shares.
    pub earned: Amount,
}

/// From what a committee was drawn; `explain` replays it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DrawRecord {
    /// The committee's round.
    pub round: u32,
    /// How many times the committee had been filled up before.
    pub refill: u32,
    /// The block whose beacon was used.
    pub height: Height,
    /// That beacon.
    pub beacon: Hash,
    /// Hash of the [`Roster`](crate::Roster) of candidates.
    pub roster: Hash,
    /// How many seats were to be filled, substitutes included.
    pub seats: u32,
    /// Those who could not be drawn: members already, or fined in this execution.
    pub excluded: Vec<Address>,
    /// Who was drawn, in order.
    pub drawn: Vec<Address>,
}

/// Why an execution ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Reason {
    /// Nobody could be drawn in time.
    NoCandidates,
    /// Too few members took part.
    TooFewMembers,
    /// The members disagreed, in every round.
    NoQuorum,
    /// Most members could not tell, because the input, the service or time was missing.
    Inconclusive,
    /// No executor's answer passed its check.
    NoValidAnswer,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Conclusion {
    /// The quorum agreed on this outcome, and those who worked were paid.
    Accepted(Outcome),
    /// There is no outcome; the fee was refunded.
    Failed(Reason),
}

/// What caused an execution.
#[expect(clippy::large_enum_variant, reason = "it is one field of a record that is larger still")]
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Origin {
    /// An account called for it.
    Call,
    /// A step of a run.
    Step(StepInput),
}

/// One call of a task.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Execution {
    /// Derived from the call alone: it never contains an executor.
    pub id: Hash,
    /// Who pays.
    pub payer: Address,
    /// The service.
    pub service: Hash,
    /// The task.
    pub task: Name,
    /// How it is checked.
    pub verification: Verification,
    /// The input; for a step of a run, the name of the [`StepInput`] from which it is evaluated.
    pub input: BlobRef,
    /// Why there is this execution.
    pub origin: Origin,
    /// Nodes that have the input, or parts of it.
    pub homes: Vec<EndpointId>,
    /// How many checkers the caller asked for.
    pub checkers: u16,
    /// How many of executor and checkers must agree.
    pub quorum: u16,
    /// Restricts the draw; empty for any node.
    pub nodes: Vec<Address>,
    /// What the labels of a node must say for it to be drawn.
    pub labels: Vec<LabelCondition>,
    /// Reward of one execution, before shares.
    pub price: Amount,
    /// Reward of one check, before shares.
    pub check_price: Amount,
    /// The task's time limit.
    pub time_limit_ms: u32,
    /// What the caller has paid in and is neither spent nor refunded.
    pub escrow: Amount,
    /// What the caller has paid in.
    pub paid_in: Amount,
    /// What members of this execution were fined, as far as it is not burned and not yet shared out.
    pub fines: Amount,
    /// What the caller got back.
    pub refunded: Amount,
    /// The block of the call.
    pub created: Height,
    /// Its time.
    pub created_at: TimeMs,
    /// The block of the last change.
    pub changed: Height,
    /// What it waits for.
    pub phase: Phase,
    /// Until when.
    pub due: TimeMs,
    /// Counts committees, from zero.
    pub round: u32,
    /// Counts draws that filled up the present committee.
    pub refills: u32,
    /// All members of all rounds, in the order in which they joined.
    pub members: Vec<Member>,
    /// Who takes the next absent member's place.
    pub substitutes: Vec<Address>,
    /// All draws.
    pub draws: Vec<DrawRecord>,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
}

impl Holds for Execution {
    const POT: Pot = Pot::Escrow;
    fn held(&self) -> Amount {
        self.escrow.saturating_add(self.fines)
    }
}

impl Execution {
    /// Who may be drawn at all.
    #[must_use]
    pub fn restriction(&self) -> Restriction<'_> {
        Restriction { nodes: &self.nodes, labels: &self.labels }
    }

    /// The members of the present round.
    pub fn committee(&self) -> impl Iterator<Item = &Member> {
        let round = self.round;
        self.members.iter().filter(move |member| member.round == round)
    }

    /// The part of `node` in the present round.
    #[must_use]
    pub fn member(&self, node: &Address) -> Option<&Member> {
        self.committee().find(|member| member.node == *node)
    }

    pub(crate) fn member_mut(&mut self, node: &Address) -> Option<&mut Member> {
        let round = self.round;
        self.members.iter_mut().find(|member| member.round == round && member.node == *node)
    }

    /// What the execution came to, as the run is told whose step it is; `holders` have its output.
    #[must_use]
    pub fn attempt(&self, holders: Vec<EndpointId>) -> Attempt {
        match &self.conclusion {
            Some(Conclusion::Accepted(Outcome::Returned { status, output, keys })) => {
                Attempt::Returned {
                    status: status.clone(),
                    output: Payload::Blob(*output),
                    keys: keys.clone(),
                    holders,
                }
            }
            Some(Conclusion::Accepted(Outcome::Declined)) => Attempt::Declined,
            Some(Conclusion::Accepted(Outcome::Failed(_) | Outcome::Inconclusive(_)))
            | Some(Conclusion::Failed(_))
            | None => Attempt::Failed,
        }
    }

    /// The executor's open answer in the present round.
    #[must_use]
    pub fn answer(&self) -> Option<(&Member, &Outcome)> {
        self.committee().find_map(|member| match (&member.role, &member.state) {
            (Role::Executor, MemberState::Opened(Claim::Outcome(outcome))) => {
                Some((member, outcome))
            }
            _ => None,
        })
    }

    /// Whether `node` alone was drawn, is checked by nobody, and owes its answer.
    #[must_use]
    pub fn is_owed_by(&self, node: &Address) -> bool {
        let assigned = |member: &Member| member.state == MemberState::Assigned;
        self.checkers == 0
            && self.phase == Phase::Working
            && self.member(node).is_some_and(assigned)
    }

    /// How many members take part or took part in deciding: f(n) of a fine counts them.
    #[must_use]
    pub fn participants(&self) -> u32 {
        let took_part =
            |member: &&Member| !matches!(member.state, MemberState::Absent | MemberState::Released);
        u32::try_from(self.members.iter().filter(took_part).count()).unwrap_or(u32::MAX)
    }
}

/// What happened to an execution in a block; for nodes that watch, not part of consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The execution.
    pub execution: Hash,
    /// What happened.
    pub step: Step,
}

/// A change of state of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was called for.
    Created,
    /// A committee was drawn.
    Drawn,
    /// A substitute took an absent member's place.
    Reassigned {
        /// The absent member.
        from: Address,
        /// Its substitute.
        to: Address,
    },
    /// Its deadline passed while the chain stood still, and was moved.
    Prolonged,
    /// A member committed itself.
    Sealed(Address),
    /// The executor answered openly.
    Answered(Address),
    /// All are to open their seals.
    Revealing,
    /// A member opened its seal.
    Revealed(Address),
    /// There was no quorum: a larger committee will be drawn.
    Escalated,
    /// A member was fined.
    Fined {
        /// The member.
        node: Address,
        /// For what.
        offence: Offence,
        /// How much.
        fine: Amount,
    },
    /// It ended.
    Settled,
}
