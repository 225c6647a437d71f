//! Operations and transactions as JSON, so that anybody can write them by hand.

use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::ApplicationTerms;
use super::label::Label;
use super::mirror::{mirror, mirror_by_from, mirror_names};
use super::outcome::{BlobRef, Opening, Outcome};
use super::service::ServiceTerms;
use super::text::{
    AddressText, AmountText, BeaconKeyText, EndpointText, HashText, NameText, PublicKeyText,
    SignatureText, VoteSignatureText,
};

mirror! {
    /// Moves tokens to another account.
    Transfer = core::Transfer {
        /// The receiver.
        to: AddressText,
        /// How much.
        amount: AmountText,
    }

    /// Adds to the sender's stake as a validator; the first time, registers its keys.
    Bond = core::Bond {
        /// How much.
        amount: AmountText,
        /// Must hash to the sender's address.
        public_key: PublicKeyText,
        /// Where the validator is on the network.
        endpoint: EndpointText,
        /// The validator's key for the random beacon.
        beacon_key: BeaconKeyText,
    }

    /// Takes stake back; it is paid out after the unbonding delay.
    Unbond = core::Unbond {
        /// How much.
        amount: AmountText,
    }

    /// Returns the sender to the consensus set.
    Unjail = core::Unjail {}

    /// A vote as its validator signed it.
    SignedVote = core::SignedVote {
        /// Prevote or precommit.
        kind: VoteKind,
        /// At this height.
        height: u64,
        /// In this round.
        round: u32,
        /// For this block, or nil.
        block: Option<HashText>,
        /// Over the vote's typed data.
        signature: VoteSignatureText,
    }

    /// Two votes of one validator of which an honest one signs at most one.
    Evidence = core::Evidence {
        /// The accused.
        validator: AddressText,
        /// The vote for the smaller block id.
        first: Box<SignedVote>,
        /// The vote for the larger block id.
        second: Box<SignedVote>,
    }

    /// Registers a service.
    Publish = core::Publish {
        /// The terms of its manifest.
        terms: Box<ServiceTerms>,
    }

    /// Offers a service, or prolongs and adds to an offer.
    MakeOffer = core::Offer {
        /// The service.
        service: HashText,
        /// Stake to add.
        stake: AmountText,
        /// How long the node commits itself from now on, in milliseconds.
        term_ms: u64,
        /// Who owns the node.
        owner: AddressText,
        /// Where the node is on the network.
        endpoint: EndpointText,
        /// What the node says of itself, ascending by name.
        #[serde(default)]
        labels: Vec<Label>,
    }

    /// Ends the sender's offer.
    Withdraw = core::Withdraw {
        /// The service.
        service: HashText,
    }

    /// Returns a suspended offer to office.
    Resume = core::Resume {
        /// The service.
        service: HashText,
    }

    /// Asks for one execution and puts its fee in escrow.
    Call = core::Call {
        /// The service.
        service: HashText,
        /// One of its tasks.
        task: NameText,
        /// The input, canonical JSON.
        input: BlobRef,
        /// A node that has the input.
        home: EndpointText,
        /// How many nodes check the executor.
        checkers: u16,
        /// How many of executor and checkers must agree; zero stands for the majority.
        quorum: u16,
        /// Restricts the draw to these nodes; empty for any.
        nodes: Vec<AddressText>,
        /// The most that may be taken into escrow.
        price_max: AmountText,
    }

    /// Commits the sender to a claim on an execution.
    Seal = core::Seal {
        /// The execution.
        execution: HashText,
        /// The committee's round.
        round: u32,
        /// A hash of node, claim and salt.
        commitment: HashText,
    }

    /// Opens the sender's commitment.
    Reveal = core::Reveal {
        /// The execution.
        execution: HashText,
        /// The committee's round.
        round: u32,
        /// What was sealed.
        opening: Opening,
    }

    /// The executor's open answer.
    Answer = core::Answer {
        /// The execution.
        execution: HashText,
        /// The committee's round.
        round: u32,
        /// What came of the task.
        outcome: Outcome,
    }

    /// States that an event occurred.
    Observe = core::Observe {
        /// The service.
        service: HashText,
        /// One of its events.
        event: NameText,
        /// Hash of the id that the service gives to this occurrence.
        id: HashText,
        /// Hashes of the event's keys, in the order of its terms.
        keys: Vec<HashText>,
        /// The part of the data that all emitters see identically, canonical JSON.
        data: BlobRef,
        /// The values of the measured fields, in units of the last decimal.
        measured: Vec<i64>,
    }

    /// Deploys an application; the sender owns it.
    Deploy = core::Deploy {
        /// What is deployed.
        terms: Box<ApplicationTerms>,
        /// Moved from the sender to the application's deposit.
        deposit: AmountText,
        /// The application that it replaces.
        replaces: Option<HashText>,
    }

    /// Stops or resumes the sender's application.
    Pause = core::Pause {
        /// The application.
        application: HashText,
        /// Whether it is to start no more runs.
        paused: bool,
    }

    /// Removes the sender's application.
    Remove = core::Remove {
        /// The application.
        application: HashText,
    }

    /// Takes tokens out of the deposit of the sender's application.
    Collect = core::Collect {
        /// The application.
        application: HashText,
        /// How much.
        amount: AmountText,
    }

    /// Repeats a step that has ended with an error or for want of money.
    Repeat = core::Repeat {
        /// The run.
        run: HashText,
        /// The step, counted from zero.
        step: u16,
    }

    /// Lets an account see a private application and its runs, or not any more.
    Grant = core::Grant {
        /// The application.
        application: HashText,
        /// Who.
        account: AddressText,
        /// Whether it may see it.
        granted: bool,
    }

    /// Ends a run, and begins it anew, as another one, from the event that started it.
    Restart = core::Restart {
        /// The run.
        run: HashText,
    }

    /// Ends a run.
    Cancel = core::Cancel {
        /// The run.
        run: HashText,
    }

    /// What an account asks for.
    Transaction = core::Transaction {
        /// The chain.
        chain: u64,
        /// Who asks, and pays the fee.
        account: AddressText,
        /// Equal to the account's counter.
        nonce: u64,
        /// The last height at which the transaction may be included.
        expires: u64,
        /// True: all operations or none.
        atomic: bool,
        /// The most that the account pays for the transaction itself.
        fee_limit: AmountText,
        /// One to 1,024.
        operations: Vec<Operation>,
    }

    /// A transaction with its account's signature.
    SignedTransaction = core::SignedTransaction {
        /// What was signed.
        transaction: Transaction,
        /// Over the transaction's typed data.
        signature: SignatureText,
    }
}

mirror_names! {
    /// Which of the two votes of a round.
    VoteKind = core::VoteKind {
        /// The first.
        Prevote,
        /// The second.
        Precommit,
    }
}

macro_rules! operations {
    ($($(#[$meta:meta])* $variant:ident($name:ident),)*) => {
        /// One request to the ledger; `type` says which.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum Operation { $($(#[$meta])* $variant($name),)* }

        impl From<core::Operation> for Operation {
            fn from(operation: core::Operation) -> Self {
                match operation {
                    $(core::Operation::$variant(inner) => Self::$variant(inner.into()),)*
                }
            }
        }

        impl From<Operation> for core::Operation {
            fn from(operation: Operation) -> Self {
                match operation { $(Operation::$variant(inner) => Self::$variant(inner.into()),)* }
            }
        }
    };
}

operations! {
    /// Moves tokens.
    Transfer(Transfer),
    /// Stakes tokens on honest consensus.
    Bond(Bond),
    /// Takes them back.
    Unbond(Unbond),
    /// Returns to the consensus set.
    Unjail(Unjail),
    /// Accuses a validator.
    Evidence(Evidence),
    /// Registers a service.
    Publish(Publish),
    /// Offers to execute and check a service.
    Offer(MakeOffer),
    /// Ends an offer.
    Withdraw(Withdraw),
    /// Returns an offer to office.
    Resume(Resume),
    /// Asks for one execution of a task.
    Call(Call),
    /// Commits to a claim.
    Seal(Seal),
    /// Opens a commitment.
    Reveal(Reveal),
    /// Answers openly.
    Answer(Answer),
    /// States that an event occurred.
    Observe(Observe),
    /// Deploys an application.
    Deploy(Deploy),
    /// Stops or resumes an application.
    Pause(Pause),
    /// Removes an application.
    Remove(Remove),
    /// Takes tokens out of an application's deposit.
    Collect(Collect),
    /// Repeats a step of a run.
    Repeat(Repeat),
    /// Ends a run.
    Cancel(Cancel),
    /// Lets an account see a private application, or not any more.
    Grant(Grant),
    /// Ends a run, and begins it anew.
    Restart(Restart),
}

mirror_by_from!(Operation = core::Operation);
