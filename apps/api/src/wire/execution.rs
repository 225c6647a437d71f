//! Executions: their state, how they were drawn, and what happened to them.

use althing_ledger as ledger;
use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::StepInput;
use super::label::{Label, LabelCondition};
use super::mirror::{Mirror, mirror_names};
use super::outcome::{BlobRef, Claim, Opening, Outcome};
use super::service::Verification;
use super::text::{AddressText, AmountText, EndpointText, HashText, NameText};

mirror_names! {
    /// What an execution waits for.
    Phase = ledger::Phase {
        /// For a committee.
        Created,
        /// For the committee's seals, or for the executor's open answer.
        Working,
        /// For the checkers' sealed opinions.
        Checking,
        /// For the seals to be opened.
        Revealing,
        /// For nothing.
        Settled,
    }

    /// A member's part in the committee.
    Role = ledger::Role {
        /// Runs the task.
        Executor,
        /// Checks it.
        Checker,
    }

    /// Why a member was fined.
    Offence = ledger::Offence {
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

    /// Why an execution ended without a result.
    Reason = ledger::Reason {
        /// Nobody could be drawn in time.
        NoCandidates,
        /// Too few members took part.
        TooFewMembers,
        /// The members disagreed, in every round.
        NoQuorum,
        /// Most members could not tell.
        Inconclusive,
        /// No executor's answer passed its check.
        NoValidAnswer,
    }
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MemberState {
    /// A checker that waits for the executor's answer.
    Standby,
    /// It has to seal, or to answer.
    Assigned,
    /// It has committed itself.
    Sealed {
        /// To this.
        commitment: HashText,
    },
    /// It has shown its claim.
    Opened {
        /// The claim.
        claim: Claim,
    },
    /// It missed the deadline.
    Absent,
    /// It sealed and did not open.
    Withheld {
        /// The seal.
        commitment: HashText,
    },
    /// It opened with something that it had not sealed: the seal was not its own work.
    Forged {
        /// The seal.
        commitment: HashText,
        /// What it signed as the opening; it does not fit.
        opening: Opening,
    },
    /// The round ended without it having been asked.
    Released,
}

impl From<ledger::MemberState> for MemberState {
    fn from(state: ledger::MemberState) -> Self {
        use ledger::MemberState as Core;
        match state {
            Core::Standby => Self::Standby,
            Core::Assigned => Self::Assigned,
            Core::Sealed(commitment) => Self::Sealed { commitment: commitment.into() },
            Core::Opened(claim) => Self::Opened { claim: claim.into() },
            Core::Absent => Self::Absent,
            Core::Withheld(commitment) => Self::Withheld { commitment: commitment.into() },
            Core::Forged { commitment, opening } => {
                Self::Forged { commitment: commitment.into(), opening: opening.into() }
            }
            Core::Released => Self::Released,
        }
    }
}

/// One node's part in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The node.
    pub node: AddressText,
    /// Its part.
    pub role: Role,
    /// The round for which it was drawn.
    pub round: u32,
    /// How far it has come.
    #[serde(flatten)]
    pub state: MemberState,
    /// For what it was fined, if it was.
    pub offence: Option<Offence>,
    /// The fine, taken from its stake for the service.
    pub fine: AmountText,
    /// Its reward.
    pub earned: AmountText,
}

impl From<ledger::Member> for Member {
    fn from(member: ledger::Member) -> Self {
        Self {
            node: member.node.into(),
            role: member.role.into(),
            round: member.round,
            state: member.state.into(),
            offence: member.offence.map(Into::into),
            fine: member.fine.into(),
            earned: member.earned.into(),
        }
    }
}

/// From what a committee was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draw {
    /// The committee's round.
    pub round: u32,
    /// How many times the committee had been filled up before.
    pub refill: u32,
    /// The block whose beacon was used.
    pub height: u64,
    /// That beacon.
    pub beacon: HashText,
    /// Hash of the roster of candidates.
    pub roster: HashText,
    /// How many seats were to be filled, substitutes included.
    pub seats: u32,
    /// Those who could not be drawn.
    pub excluded: Vec<AddressText>,
    /// Who was drawn, in order.
    pub drawn: Vec<AddressText>,
}

impl From<ledger::DrawRecord> for Draw {
    fn from(draw: ledger::DrawRecord) -> Self {
        Self {
            round: draw.round,
            refill: draw.refill,
            height: draw.height.0,
            beacon: draw.beacon.into(),
            roster: draw.roster.into(),
            seats: draw.seats,
            excluded: Mirror::of(draw.excluded),
            drawn: Mirror::of(draw.drawn),
        }
    }
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Conclusion {
    /// The quorum agreed on this outcome.
    Accepted {
        /// The outcome.
        outcome: Outcome,
    },
    /// There is no outcome; the fee was refunded.
    Failed {
        /// Why not.
        reason: Reason,
    },
}

impl From<ledger::Conclusion> for Conclusion {
    fn from(conclusion: ledger::Conclusion) -> Self {
        match conclusion {
            ledger::Conclusion::Accepted(outcome) => Self::Accepted { outcome: outcome.into() },
            ledger::Conclusion::Failed(reason) => Self::Failed { reason: reason.into() },
        }
    }
}

/// What caused an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Origin {
    /// An account called for it.
    Call,
    /// A step of a run.
    Step {
        /// From what its input is evaluated.
        from: Box<StepInput>,
    },
}

impl From<ledger::Origin> for Origin {
    fn from(origin: ledger::Origin) -> Self {
        match origin {
            ledger::Origin::Call => Self::Call,
            ledger::Origin::Step(input) => Self::Step { from: Box::new(input.into()) },
        }
    }
}

/// One call of a task, from the call to its settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Execution {
    /// Derived from the call alone.
    pub id: HashText,
    /// Who pays.
    pub payer: AddressText,
    /// The service.
    pub service: HashText,
    /// The task.
    pub task: NameText,
    /// How it is checked.
    pub verification: Verification,
    /// The input; for a step of a run, the name of that from which it is evaluated.
    pub input: BlobRef,
    /// Why there is this execution.
    pub origin: Origin,
    /// Nodes that have the input, or parts of it.
    pub homes: Vec<EndpointText>,
    /// How many checkers the caller asked for.
    pub checkers: u16,
    /// How many of executor and checkers must agree.
    pub quorum: u16,
    /// Restricts the draw; empty for any node.
    pub nodes: Vec<AddressText>,
    /// What the labels of a node must say for it to be drawn.
    #[serde(default)]
    pub labels: Vec<LabelCondition>,
    /// Reward of one execution, before shares.
    pub price: AmountText,
    /// Reward of one check, before shares.
    pub check_price: AmountText,
    /// The task's time limit.
    pub time_limit_ms: u32,
    /// What the caller has paid in and is neither spent nor refunded.
    pub escrow: AmountText,
    /// What the caller has paid in.
    pub paid_in: AmountText,
    /// What the caller got back.
    pub refunded: AmountText,
    /// The height of the call.
    pub created: u64,
    /// Its time, milliseconds since 1970.
    pub created_at: u64,
    /// The height of the last change.
    pub changed: u64,
    /// What it waits for.
    pub phase: Phase,
    /// Until when, milliseconds since 1970.
    pub due: u64,
    /// Counts committees, from zero.
    pub round: u32,
    /// All members of all rounds, in the order in which they joined.
    pub members: Vec<Member>,
    /// Who takes the next absent member's place.
    pub substitutes: Vec<AddressText>,
    /// All draws.
    pub draws: Vec<Draw>,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
}

impl From<ledger::Execution> for Execution {
    fn from(execution: ledger::Execution) -> Self {
        Self {
            id: execution.id.into(),
            payer: execution.payer.into(),
            service: execution.service.into(),
            task: execution.task.into(),
            verification: execution.verification.into(),
            input: execution.input.into(),
            origin: execution.origin.into(),
            homes: Mirror::of(execution.homes),
            checkers: execution.checkers,
            quorum: execution.quorum,
            nodes: Mirror::of(execution.nodes),
            labels: Mirror::of(execution.labels),
            price: execution.price.into(),
            check_price: execution.check_price.into(),
            time_limit_ms: execution.time_limit_ms,
            escrow: execution.escrow.into(),
            paid_in: execution.paid_in.into(),
            refunded: execution.refunded.into(),
            created: execution.created.0,
            created_at: execution.created_at.0,
            changed: execution.changed.0,
            phase: execution.phase.into(),
            due: execution.due.0,
            round: execution.round,
            members: execution.members.into_iter().map(Into::into).collect(),
            substitutes: Mirror::of(execution.substitutes),
            draws: execution.draws.into_iter().map(Into::into).collect(),
            conclusion: execution.conclusion.map(Into::into),
        }
    }
}

/// Somebody who could have been drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// The node.
    pub node: AddressText,
    /// Its owner.
    pub owner: AddressText,
    /// The product of the seven criteria, a decimal number.
    pub weight: String,
    /// Whether it had done little so far.
    pub newcomer: bool,
    /// What it said of itself.
    #[serde(default)]
    pub labels: Vec<Label>,
}

/// A draw with its candidates, replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedDraw {
    /// What the ledger recorded.
    pub draw: Draw,
    /// Hash of beacon, execution, round and refill.
    pub seed: HashText,
    /// Share of draws that is kept for newcomers, in hundredths of a percent.
    pub newcomers_share: Option<u32>,
    /// Everybody who could be drawn; absent if this node no longer has the roster.
    pub candidates: Option<Vec<Candidate>>,
    /// Who is drawn when the draw is repeated with these candidates; equal to `draw.drawn`.
    pub replayed: Option<Vec<AddressText>>,
}

/// A node that an execution came by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hop {
    /// Its account, if the ledger knows who is at the endpoint.
    pub node: Option<AddressText>,
    /// Where it is, if it is known.
    pub endpoint: Option<EndpointText>,
    /// For what it was drawn; absent for a node that was asked, or that had parts of the input.
    pub part: Option<Role>,
    /// Whether it runs the service.
    pub runs_service: bool,
}

/// Why an execution came out as it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Members, claims, fines, rewards and conclusion.
    pub execution: Execution,
    /// All draws, in order.
    pub draws: Vec<ExplainedDraw>,
    /// The nodes that it came by: first those that were asked or had its input, then those that were
    /// drawn in the last round.
    #[serde(default)]
    pub route: Vec<Hop>,
}

impl Explanation {
    /// Replays every draw whose roster `roster` still finds by its hash.
    #[must_use]
    pub fn of(
        execution: ledger::Execution,
        mut roster: impl FnMut(&core::Hash) -> Option<ledger::Roster>,
    ) -> Self {
        let explain = |record: &ledger::DrawRecord| {
            let seed =
                ledger::draw_seed(&record.beacon, &execution.id, record.round, record.refill);
            // A roster that is not the recorded one would explain something else.
            let roster = roster(&record.roster).filter(|roster| roster.hash() == record.roster);
            let replayed = roster.as_ref().map(|roster| {
                let seats = usize::try_from(record.seats).unwrap_or(usize::MAX);
                ledger::draw(&seed, roster, &record.excluded, execution.restriction(), seats)
            });
            ExplainedDraw {
                draw: record.clone().into(),
                seed: seed.into(),
                newcomers_share: roster.as_ref().map(|roster| roster.newcomers_share.0),
                candidates: roster
                    .map(|roster| roster.candidates.into_iter().map(Candidate::of).collect()),
                replayed: replayed.map(Mirror::of),
            }
        };
        let draws = execution.draws.iter().map(explain).collect();
        Self { draws, execution: execution.into(), route: Vec::new() }
    }
}

impl Candidate {
    fn of(candidate: ledger::Candidate) -> Self {
        Self {
            node: candidate.node.into(),
            owner: candidate.owner.into(),
            weight: candidate.weight.to_string(),
            newcomer: candidate.newcomer,
            labels: Mirror::of(candidate.labels),
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Working => "working",
            Self::Checking => "checking",
            Self::Revealing => "revealing",
            Self::Settled => "settled",
        })
    }
}

impl std::str::FromStr for Phase {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Created, Self::Working, Self::Checking, Self::Revealing, Self::Settled]
            .into_iter()
            .find(|phase| phase.to_string() == text)
            .ok_or("created, working, checking, revealing or settled is expected")
    }
}
