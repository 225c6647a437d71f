//! Why an operation changed nothing.

use althing_types::{Amount, Hash};
use althing_workflow::NotAPlan;
use borsh::{BorshDeserialize, BorshSerialize};

/// Why an operation left the state as it was.
///
/// Part of the receipt, hence of consensus: every node reaches the same one, codes are never reused,
/// and no variant carries text from outside the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum Rejection {
    /// The sender owns less than it wants to spend.
    #[error("{needed} needed, {available} available")]
    InsufficientBalance {
        /// What the operation would take.
        needed: Amount,
        /// The sender's balance.
        available: Amount,
    },
    /// Zero tokens.
    #[error("the amount is zero")]
    ZeroAmount,
    /// The public key is not the sender's, or not a key.
    #[error("the public key does not belong to the sender")]
    ForeignPublicKey,
    /// The validator's keys cannot be changed.
    #[error("the validator is registered with other keys")]
    OtherKeys,
    /// The bond would not reach the least bond of a validator.
    #[error("the bond is below the least bond of {least}")]
    BondTooSmall {
        /// The least bond.
        least: Amount,
    },
    /// The account is not a validator.
    #[error("the account is not a validator")]
    NotAValidator,
    /// More is to be unbonded than is bonded.
    #[error("{requested} asked, {bonded} bonded")]
    InsufficientBond {
        /// What is bonded.
        bonded: Amount,
        /// What was asked.
        requested: Amount,
    },
    /// Too many unbondings are under way.
    #[error("too many unbondings are under way; wait for the first to be paid")]
    TooManyUnbondings,
    /// The last validator cannot leave.
    #[error("the last validator cannot leave")]
    LastValidator,
    /// The validator is in the set.
    #[error("the validator is not jailed")]
    NotJailed,
    /// The jail term has not passed.
    #[error("the jail term has not passed")]
    StillJailed,
    /// A validator that voted twice never returns.
    #[error("the validator was convicted of voting twice")]
    Convicted,
    /// The two votes do not contradict each other.
    #[error("the two votes do not contradict each other")]
    NoContradiction,
    /// A vote is not signed by the accused.
    #[error("a vote is not signed by the accused")]
    ForgedEvidence,
    /// The namespace belongs to somebody else.
    #[error("the namespace belongs to another account")]
    ForeignNamespace,
    /// The alias is taken by another manifest.
    #[error("the alias already names a service; publish a new version")]
    AliasTaken,
    /// The same manifest is published already.
    #[error("the service is already published")]
    AlreadyPublished,
    /// The terms break a limit or contradict themselves.
    #[error("the service's terms are not acceptable")]
    BadTerms,
    /// No such service.
    #[error("there is no service {service}")]
    UnknownService {
        /// What was asked for.
        service: Hash,
    },
    /// No such task.
    #[error("the service has no such task")]
    UnknownTask,
    /// The stake is below the service's minimum.
    #[error("the stake would be {stake}, the service asks for {least}")]
    StakeTooSmall {
        /// The stake after the operation.
        stake: Amount,
        /// The least stake.
        least: Amount,
    },
    /// The term is too short or too long, or would end earlier than the present one.
    #[error("the term is not acceptable")]
    BadTerm,
    /// A service has as many offers as a draw can weigh.
    #[error("the service has as many offers as it may have")]
    TooManyOffers,
    /// The sender does not offer the service.
    #[error("the sender does not offer the service")]
    NoOffer,
    /// The offer is being withdrawn.
    #[error("the offer is being withdrawn")]
    OfferLeaving,
    /// The offer is not suspended.
    #[error("the offer is not suspended")]
    NotSuspended,
    /// More checkers than the chain allows.
    #[error("at most {most} checkers are allowed")]
    TooManyCheckers {
        /// The limit.
        most: u16,
    },
    /// The quorum is not a majority, or more than all.
    #[error("the quorum must be between {least} and {most}")]
    BadQuorum {
        /// The smallest majority.
        least: u16,
        /// Everybody.
        most: u16,
    },
    /// The price is above the caller's limit.
    #[error("the price is {price}, above the limit of {limit}")]
    AbovePriceLimit {
        /// What the execution costs.
        price: Amount,
        /// What the caller allows.
        limit: Amount,
    },
    /// The list of nodes is too long or has doubles.
    #[error("the list of nodes is too long, unsorted or has doubles")]
    BadNodeList,
    /// The input is larger than allowed.
    #[error("the input is too large")]
    InputTooLarge,
    /// No such open execution.
    #[error("there is no open execution {execution}")]
    UnknownExecution {
        /// What was named.
        execution: Hash,
    },
    /// The sender has no part in this round of the execution.
    #[error("the sender has no part in this round of the execution")]
    NotAMember,
    /// The execution is in another phase: the message is early, late, or a repetition.
    #[error("the execution does not wait for this from the sender")]
    WrongPhase,
    /// The claim is of the wrong kind for the sender's role.
    #[error("the claim does not fit the sender's role")]
    WrongClaim,
    /// The status is not declared for the task.
    #[error("the status is not declared for the task")]
    UndeclaredStatus,
    /// An earlier operation of the same atomic transaction was rejected.
    #[error("another operation of the same transaction was rejected")]
    Undone,
    /// As many validators are registered as the consensus set can weigh.
    #[error("no more validators can register")]
    TooManyValidators,
    /// No such event.
    #[error("the service has no such event")]
    UnknownEvent,
    /// Another number of keys than the event declares.
    #[error("the event has {expected} keys")]
    WrongKeys {
        /// What the event declares.
        expected: u8,
    },
    /// Another number of measured values than the event declares.
    #[error("the event has {expected} measured fields")]
    WrongMeasures {
        /// What the event declares.
        expected: u8,
    },
    /// The event's data is larger than allowed.
    #[error("the event's data is longer than {most} bytes")]
    EventTooLarge {
        /// The limit in bytes.
        most: u32,
    },
    /// The sender was not in office when the event was first observed.
    #[error("the sender is not an emitter in office for this event")]
    NotAnEmitter,
    /// The sender has observed the event, or with a single emitter somebody has.
    #[error("the event {event} was observed already")]
    DuplicateObservation {
        /// The event.
        event: Hash,
    },
    /// The event's window is over.
    #[error("the window of the event {event} is over")]
    LateObservation {
        /// The event.
        event: Hash,
    },
    /// The application's graph breaks a rule.
    #[error("not a plan: {fault}")]
    NotAPlan {
        /// Which one.
        fault: NotAPlan,
    },
    /// The application's terms break a limit.
    #[error("the application's terms are not acceptable")]
    BadApplication,
    /// The same document is deployed already.
    #[error("the application is already deployed")]
    AlreadyDeployed,
    /// A step hangs on a status that the step before never ends with.
    #[error("step {step} or a returns hangs on an end that step {of} does not have")]
    UnknownEnd {
        /// The step that hangs, or the number of steps for a `returns`.
        step: u16,
        /// The step on whose end it hangs.
        of: u16,
    },
    /// A filter names a key that the event does not declare.
    #[error("step {step} compares a key that the event does not have")]
    UnknownKey {
        /// The step; zero for the trigger too.
        step: u16,
    },
    /// Applications use one another deeper than allowed.
    #[error("applications nest deeper than {most}")]
    NestedTooDeeply {
        /// The limit.
        most: u8,
    },
    /// The application belongs to somebody else and is private, or was removed.
    #[error("the application {application} cannot be used")]
    NotUsable {
        /// The application.
        application: Hash,
    },
    /// No such application.
    #[error("there is no application {application}")]
    UnknownApplication {
        /// What was named.
        application: Hash,
    },
    /// The sender does not own the application.
    #[error("the sender does not own the application")]
    NotTheOwner,
    /// The application was removed.
    #[error("the application was removed")]
    ApplicationRemoved,
    /// No such open run.
    #[error("there is no open run {run}")]
    UnknownRun {
        /// What was named.
        run: Hash,
    },
    /// The step has not failed, or its error was handled.
    #[error("the step has not failed, or its error was handled")]
    NotRepeatable,
    /// A result declines, or carries keys, where nothing asked for that.
    #[error("the result declines or carries keys where nothing asked for it")]
    NotAsked,
    /// The alias names another application.
    #[error("the alias already names an application")]
    ApplicationAliasTaken,
    /// Checkers are asked for where nobody can check.
    #[error("nobody can check this task: it is called without checkers")]
    CannotBeChecked,
    /// Labels, or what a step asks of them, are too many, too long or not in order.
    #[error("the labels are too many, too long, or not ascending by name")]
    BadLabels,
    /// The run is used by a step of another one.
    #[error("a step of another run waits for this one: restart that")]
    UsedByAnother,
    /// The application is public: everybody sees it.
    #[error("the application is public")]
    NotPrivate,
}

impl Rejection {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InsufficientBalance { .. } => "LED-0001",
            Self::ZeroAmount => "LED-0002",
            Self::ForeignPublicKey => "LED-0003",
            Self::OtherKeys => "LED-0004",
            Self::BondTooSmall { .. } => "LED-0005",
            Self::NotAValidator => "LED-0006",
            Self::InsufficientBond { .. } => "LED-0007",
            Self::TooManyUnbondings => "LED-0008",
            Self::LastValidator => "LED-0009",
            Self::NotJailed => "LED-0010",
            Self::StillJailed => "LED-0011",
            Self::Convicted => "LED-0012",
            Self::NoContradiction => "LED-0013",
            Self::ForgedEvidence => "LED-0014",
            Self::ForeignNamespace => "LED-0015",
            Self::AliasTaken => "LED-0016",
            Self::AlreadyPublished => "LED-0017",
            Self::BadTerms => "LED-0018",
            Self::UnknownService { .. } => "LED-0019",
            Self::UnknownTask => "LED-0020",
            Self::StakeTooSmall { .. } => "LED-0021",
            Self::BadTerm => "LED-0022",
            Self::TooManyOffers => "LED-0023",
            Self::NoOffer => "LED-0024",
            Self::OfferLeaving => "LED-0025",
            Self::NotSuspended => "LED-0026",
            Self::TooManyCheckers { .. } => "LED-0027",
            Self::BadQuorum { .. } => "LED-0028",
            Self::AbovePriceLimit { .. } => "LED-0029",
            Self::BadNodeList => "LED-0030",
            Self::InputTooLarge => "LED-0031",
            Self::UnknownExecution { .. } => "LED-0032",
            Self::NotAMember => "LED-0033",
            Self::WrongPhase => "LED-0034",
            Self::WrongClaim => "LED-0035",
            Self::UndeclaredStatus => "LED-0036",
            Self::Undone => "LED-0037",
            Self::TooManyValidators => "LED-0038",
            Self::UnknownEvent => "LED-0039",
            Self::WrongKeys { .. } => "LED-0040",
            Self::WrongMeasures { .. } => "LED-0041",
            Self::EventTooLarge { .. } => "LED-0042",
            Self::NotAnEmitter => "LED-0043",
            Self::DuplicateObservation { .. } => "LED-0044",
            Self::LateObservation { .. } => "LED-0045",
            Self::NotAPlan { .. } => "LED-0050",
            Self::BadApplication => "LED-0051",
            Self::AlreadyDeployed => "LED-0052",
            Self::UnknownEnd { .. } => "LED-0053",
            Self::UnknownKey { .. } => "LED-0054",
            Self::NestedTooDeeply { .. } => "LED-0055",
            Self::NotUsable { .. } => "LED-0056",
            Self::UnknownApplication { .. } => "LED-0057",
            Self::NotTheOwner => "LED-0058",
            Self::ApplicationRemoved => "LED-0059",
            Self::UnknownRun { .. } => "LED-0060",
            Self::NotRepeatable => "LED-0061",
            Self::NotAsked => "LED-0062",
            Self::ApplicationAliasTaken => "LED-0063",
            Self::CannotBeChecked => "LED-0064",
            Self::BadLabels => "LED-0065",
            Self::UsedByAnother => "LED-0066",
            Self::NotPrivate => "LED-0067",
        }
    }
}
