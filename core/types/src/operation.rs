//! Everything that an account can ask of the ledger. Each operation's rules are one file of
//! `althing-ledger`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    Address, Amount, ApplicationTerms, BeaconKey, BlobRef, BlockId, EndpointId, Hash, Height,
    Label, Name, Opening, Outcome, PublicKey, Round, ServiceTerms, VoteKind, VoteSignature,
};

/// One request to the ledger. What is rare and large is boxed, since a block has thousands: two
/// transfers in a list should not take the room of two applications.
///
/// Its [`Display`](fmt::Display) is what a wallet shows and signs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// Moves tokens.
    Transfer(Transfer),
    /// Stakes tokens on honest consensus.
    Bond(Bond),
    /// Takes them back, after a delay.
    Unbond(Unbond),
    /// Returns to the consensus set after having been absent.
    Unjail(Unjail),
    /// Accuses a validator with two of its own signatures.
    Evidence(Evidence),
    /// Registers a service.
    Publish(Publish),
    /// Offers to execute and check a service, with a stake and a term.
    Offer(Offer),
    /// Ends an offer.
    Withdraw(Withdraw),
    /// Returns an offer to office after absences.
    Resume(Resume),
    /// Asks for one execution of a task.
    Call(Call),
    /// Commits to a claim without showing it.
    Seal(Seal),
    /// Opens a commitment.
    Reveal(Reveal),
    /// Answers openly, where there is nobody to copy from.
    Answer(Answer),
    /// States that an event occurred.
    Observe(Observe),
    /// Deploys an application.
    Deploy(Deploy),
    /// Lets an application start no more runs, or start them again.
    Pause(Pause),
    /// Removes an application once its runs have ended; its deposit returns to the owner.
    Remove(Remove),
    /// Takes tokens out of an application's deposit.
    Collect(Collect),
    /// Repeats a step of a run that has ended with an error.
    Repeat(Repeat),
    /// Ends a run.
    Cancel(Cancel),
    /// Lets an account see a private application, or not any more.
    Grant(Grant),
    /// Ends a run, and begins it anew from the event that started it.
    Restart(Restart),
}

/// Moves tokens to another account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transfer {
    /// The receiver.
    pub to: Address,
    /// How much.
    pub amount: Amount,
}

/// Adds to the sender's stake as a validator; the first time, registers its keys.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bond {
    /// How much.
    pub amount: Amount,
    /// Must hash to the sender's address.
    pub public_key: PublicKey,
    /// Where the validator is on the network.
    pub endpoint: EndpointId,
    /// The validator's key for the random beacon.
    pub beacon_key: BeaconKey,
}

/// Takes stake back; it is paid out after the unbonding delay and can be slashed until then.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Unbond {
    /// How much.
    pub amount: Amount,
}

/// Returns the sender to the consensus set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Unjail {}

/// A vote as its validator signed it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedVote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// At this height.
    pub height: Height,
    /// In this round.
    pub round: Round,
    /// For this block, or nil.
    pub block: Option<BlockId>,
    /// Over [`Eip712::vote`](crate::Eip712::vote).
    pub signature: VoteSignature,
}

/// Two votes of one validator of which an honest one signs at most one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    /// The accused.
    pub validator: Address,
    /// The vote for the smaller block id (nil is smallest).
    pub first: Box<SignedVote>,
    /// The vote for the larger block id.
    pub second: Box<SignedVote>,
}

/// Registers a service.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Publish {
    /// The terms of its manifest.
    pub terms: Box<ServiceTerms>,
}

/// Offers a service, or prolongs and adds to an offer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Offer {
    /// The service.
    pub service: Hash,
    /// Stake to add.
    pub stake: Amount,
    /// How long the node commits itself from now on, in milliseconds of block time.
    pub term_ms: u64,
    /// Who owns the node: nodes of one owner never sit in one committee.
    pub owner: Address,
    /// Where the node is on the network.
    pub endpoint: EndpointId,
    /// What the node says of itself, in place of what it said before; ascending by name.
    pub labels: Vec<Label>,
}

/// Ends the sender's offer; before its term this costs a part of the stake.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Withdraw {
    /// The service.
    pub service: Hash,
}

/// Returns a suspended offer to office.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Resume {
    /// The service.
    pub service: Hash,
}

/// Asks for one execution and puts its fee in escrow.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Call {
    /// The service.
    pub service: Hash,
    /// One of its tasks.
    pub task: Name,
    /// The input, canonical JSON.
    pub input: BlobRef,
    /// A node that has the input.
    pub home: EndpointId,
    /// How many nodes check the executor: the trust dial.
    pub checkers: u16,
    /// How many of executor and checkers must agree; zero stands for the majority.
    pub quorum: u16,
    /// Restricts the draw to these nodes; empty for any.
    pub nodes: Vec<Address>,
    /// The most that may be taken into escrow.
    pub price_max: Amount,
}

/// Commits the sender to a claim on an execution.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seal {
    /// The execution.
    pub execution: Hash,
    /// The committee's round.
    pub round: u32,
    /// See [`commitment`](crate::commitment).
    pub commitment: Hash,
}

/// Opens the sender's commitment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reveal {
    /// The execution.
    pub execution: Hash,
    /// The committee's round.
    pub round: u32,
    /// What was sealed.
    pub opening: Opening,
}

/// The executor's open answer: without checkers, or before checkers apply the `verify` method.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Answer {
    /// The execution.
    pub execution: Hash,
    /// The committee's round.
    pub round: u32,
    /// What came of the task.
    pub outcome: Outcome,
}

/// States that an event occurred; the sender offers the service.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Observe {
    /// The service.
    pub service: Hash,
    /// One of its events.
    pub event: Name,
    /// Hash of the id that the service gives to this occurrence.
    pub id: Hash,
    /// Hashes of the event's keys, in the order of its terms; see [`key_hash`](crate::key_hash).
    pub keys: Vec<Hash>,
    /// The part of the data that all emitters see identically, canonical JSON.
    pub data: BlobRef,
    /// The values of the measured fields, in the order of the event's terms, in units of the last
    /// decimal.
    pub measured: Vec<i64>,
}

/// Deploys an application; the sender owns it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Deploy {
    /// What is deployed.
    pub terms: Box<ApplicationTerms>,
    /// Moved from the sender to the application's deposit.
    pub deposit: Amount,
    /// The application that it replaces: it starts no more runs, and its runs stay on their plan.
    pub replaces: Option<Hash>,
}

/// Stops or resumes the sender's application. Runs that were started go on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pause {
    /// The application.
    pub application: Hash,
    /// Whether it is to start no more runs.
    pub paused: bool,
}

/// Removes the sender's application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Remove {
    /// The application.
    pub application: Hash,
}

/// Takes tokens out of the deposit of the sender's application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Collect {
    /// The application.
    pub application: Hash,
    /// How much.
    pub amount: Amount,
}

/// Repeats a step that has ended with an error or for want of money; the sender owns the application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Repeat {
    /// The run.
    pub run: Hash,
    /// The step.
    pub step: u16,
}

/// Ends a run of the sender's application; what is under way is not waited for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Cancel {
    /// The run.
    pub run: Hash,
}

/// Lets an account see the sender's private application and its runs, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// The application.
    pub application: Hash,
    /// Who.
    pub account: Address,
    /// Whether it may.
    pub granted: bool,
}

/// Ends a run of the sender's application, and begins it anew, as another run, from the event that started
/// it. Whatever it has done outside is done again: another run has effects of its own.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Restart {
    /// The run.
    pub run: Hash,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transfer(o) => write!(f, "transfer {} to {}", o.amount, o.to),
            Self::Bond(o) => write!(f, "bond {} as a validator", o.amount),
            Self::Unbond(o) => write!(f, "unbond {}", o.amount),
            Self::Unjail(_) => write!(f, "return to the consensus set"),
            Self::Evidence(o) => {
                write!(f, "accuse {} of voting twice at height {}", o.validator, o.first.height)
            }
            Self::Publish(o) => write!(f, "publish {} as {}", o.terms.alias, o.terms.id()),
            Self::Offer(o) => {
                write!(
                    f,
                    "offer {} with a stake of {} for {} ms, owned by {}",
                    o.service, o.stake, o.term_ms, o.owner
                )?;
                for (index, label) in o.labels.iter().enumerate() {
                    write!(f, "{}{label}", if index == 0 { ", labelled " } else { ", " })?;
                }
                Ok(())
            }
            Self::Withdraw(o) => write!(f, "withdraw the offer of {}", o.service),
            Self::Resume(o) => write!(f, "resume the offer of {}", o.service),
            Self::Call(o) => {
                let (task, service) = (&o.task, &o.service);
                write!(
                    f,
                    "call {task} of {service} with {} checkers for at most {}",
                    o.checkers, o.price_max
                )
            }
            Self::Seal(o) => write!(f, "seal a result of {}", o.execution),
            Self::Reveal(o) => write!(f, "reveal a result of {}", o.execution),
            Self::Answer(o) => write!(f, "answer {}", o.execution),
            Self::Observe(o) => write!(f, "observe {} {} of {}", o.event, o.id, o.service),
            Self::Deploy(o) => {
                write!(f, "deploy {} with a deposit of {}", o.terms.alias, o.deposit)
            }
            Self::Pause(o) => {
                let verb = if o.paused { "pause" } else { "resume" };
                write!(f, "{verb} application {}", o.application)
            }
            Self::Remove(o) => write!(f, "remove application {}", o.application),
            Self::Collect(o) => {
                write!(f, "take {} out of the deposit of {}", o.amount, o.application)
            }
            Self::Repeat(o) => write!(f, "repeat step {} of run {}", o.step, o.run),
            Self::Cancel(o) => write!(f, "cancel run {}", o.run),
            Self::Grant(o) => {
                let verb = if o.granted { "let" } else { "no longer let" };
                write!(f, "{verb} {} see application {}", o.account, o.application)
            }
            Self::Restart(o) => write!(f, "restart run {}", o.run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_operations_do_not_make_the_frequent_ones_large() {
        // A block's operations are one list: each takes the room of the largest.
        assert!(size_of::<Operation>() <= 192, "{} bytes", size_of::<Operation>());
    }
}
