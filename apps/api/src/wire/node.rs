//! What a node says of itself, of accounts, and of what happens.

use althing_ledger as ledger;
use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::block::SetMember;
use super::execution::Offence;
use super::text::{AddressText, AmountText, HashText};

/// A node and its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The chain.
    pub chain: u64,
    /// Hash of its genesis.
    pub genesis: HashText,
    /// The last block.
    pub height: u64,
    /// Its id.
    pub block: HashText,
    /// Its time, milliseconds since 1970.
    pub time: u64,
    /// How many nodes this one is connected to.
    pub peers: u32,
    /// Whether it knows of a higher block than its own last one.
    pub syncing: bool,
    /// The program's version.
    pub version: String,
    /// The node's account.
    pub address: AddressText,
    /// The node's name on the network: where its blobs are fetched from.
    pub endpoint: super::text::EndpointText,
    /// Transactions that wait for a block.
    pub pending: u32,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The account.
    pub address: AddressText,
    /// Free tokens.
    pub balance: AmountText,
    /// The number of its next transaction.
    pub nonce: u64,
    /// The number after its transactions that still wait at this node.
    pub next_nonce: u64,
    /// Its stake on consensus, if it has any.
    pub validator: Option<Validator>,
}

/// Whether a validator may be in the consensus set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ValidatorStatus {
    /// It may.
    Active,
    /// It missed too many proposals.
    Jailed {
        /// It may return after this time, milliseconds since 1970.
        until: u64,
    },
    /// It voted twice; it never returns.
    Convicted,
}

/// Stake on its way back to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unbonding {
    /// Paid at the first block from this time on, milliseconds since 1970.
    pub due: u64,
    /// How much.
    pub amount: AmountText,
}

/// An account that stakes on consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validator {
    /// Its account.
    pub address: AddressText,
    /// Its stake.
    pub bonded: AmountText,
    /// Stake on its way back.
    pub unbonding: Vec<Unbonding>,
    /// Whether it may be in the set.
    pub status: ValidatorStatus,
    /// Proposals missed since its last one.
    pub missed: u32,
    /// Its seat in the set that decides the next block, if it has one.
    pub seat: Option<SetMember>,
}

impl Validator {
    /// From the ledger's record, and the set that decides the next block.
    #[must_use]
    pub fn of(
        address: core::Address,
        record: ledger::ValidatorRecord,
        set: &core::ValidatorSet,
    ) -> Self {
        let unbonding =
            |entry: ledger::Unbonding| Unbonding { due: entry.due.0, amount: entry.amount.into() };
        Self {
            address: address.into(),
            bonded: record.bonded.into(),
            unbonding: record.unbonding.into_iter().map(unbonding).collect(),
            status: match record.status {
                ledger::ValidatorStatus::Active => ValidatorStatus::Active,
                ledger::ValidatorStatus::Jailed { until } => {
                    ValidatorStatus::Jailed { until: until.0 }
                }
                ledger::ValidatorStatus::Convicted => ValidatorStatus::Convicted,
            },
            missed: record.missed,
            seat: set.get(&address).cloned().map(Into::into),
        }
    }
}

/// Everybody who stakes on consensus, at a height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validators {
    /// After this block.
    pub height: u64,
    /// Hash of the set that decides the next block.
    pub set: HashText,
    /// Sum of the set's powers, in whole tokens.
    pub total_power: u64,
    /// In the set and out of it, by ascending address.
    pub validators: Vec<Validator>,
}

/// Where all tokens are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// All balances.
    pub accounts: AmountText,
    /// All validators' stakes.
    pub bonded: AmountText,
    /// All stakes of offers.
    pub offers: AmountText,
    /// All fees in escrow.
    pub escrow: AmountText,
    /// The treasury.
    pub treasury: AmountText,
    /// What was destroyed.
    pub burned: AmountText,
    /// What was created; the sum of the others.
    pub supply: AmountText,
}

impl From<ledger::Totals> for Totals {
    fn from(totals: ledger::Totals) -> Self {
        Self {
            accounts: totals.accounts.into(),
            bonded: totals.bonded.into(),
            offers: totals.offers.into(),
            escrow: totals.escrow.into(),
            treasury: totals.treasury.into(),
            burned: totals.burned.into(),
            supply: totals.supply.into(),
        }
    }
}

/// Names a transaction that was accepted into the queue; it is not in a block yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// The transaction's hash.
    pub hash: HashText,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OperationResult {
    /// It was carried out.
    Done,
    /// It was carried out and created something.
    Created {
        /// A service or an execution.
        id: HashText,
    },
    /// It changed nothing.
    Rejected {
        /// The documented code.
        code: String,
        /// Why, in words.
        detail: String,
    },
}

impl From<ledger::OperationResult> for OperationResult {
    fn from(result: ledger::OperationResult) -> Self {
        match result {
            ledger::OperationResult::Done => Self::Done,
            ledger::OperationResult::Created(id) => Self::Created { id: id.into() },
            ledger::OperationResult::Rejected(rejection) => {
                Self::Rejected { code: rejection.code().to_owned(), detail: rejection.to_string() }
            }
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionReceipt {
    /// The transaction.
    pub transaction: HashText,
    /// The height of its block.
    pub height: u64,
    /// Its account.
    pub account: AddressText,
    /// Its nonce.
    pub nonce: u64,
    /// What it cost.
    pub fee: AmountText,
    /// One for each operation.
    pub results: Vec<OperationResult>,
}

impl TransactionReceipt {
    /// From the ledger's receipt in the block of `height`.
    #[must_use]
    pub fn of(height: core::Height, receipt: ledger::TransactionReceipt) -> Self {
        Self {
            transaction: receipt.transaction.into(),
            height: height.0,
            account: receipt.account.into(),
            nonce: receipt.nonce.0,
            fee: receipt.fee.into(),
            results: receipt.results.into_iter().map(Into::into).collect(),
        }
    }
}

/// Part of a list; ask again with `after=next` for what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Where the next page begins; absent at the end.
    pub next: Option<HashText>,
}

/// Something that happened, as the stream of events tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    clippy::enum_variant_names,
    reason = "of all events, one kind is of what services observe"
)]
pub enum Event {
    /// A block was decided.
    Block {
        /// Its height.
        height: u64,
        /// Its id.
        id: HashText,
        /// Its time, milliseconds since 1970.
        time: u64,
        /// How many transactions it has.
        transactions: u32,
    },
    /// An execution changed its state.
    Execution {
        /// In the block of this height.
        height: u64,
        /// The execution.
        execution: HashText,
        /// What happened.
        #[serde(flatten)]
        step: Step,
    },
    /// An event changed its state.
    Event {
        /// In the block of this height.
        height: u64,
        /// The event.
        key: HashText,
        /// What happened.
        #[serde(flatten)]
        step: super::observation::EventStep,
    },
    /// A run changed its state.
    Run {
        /// In the block of this height.
        height: u64,
        /// The run.
        run: HashText,
        /// Its application.
        application: HashText,
        /// What happened.
        #[serde(flatten)]
        step: super::run::RunStep,
        /// Who may be told; everybody, if the application is public.
        #[serde(skip)]
        readers: Option<Vec<AddressText>>,
    },
    /// The reader was too slow: events are missing here; ask for what they told.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// A change of state of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// It was called for.
    Created,
    /// A committee was drawn.
    Drawn,
    /// A substitute took an absent member's place.
    Reassigned {
        /// The absent member.
        from: AddressText,
        /// Its substitute.
        to: AddressText,
    },
    /// Its deadline passed while the chain stood still, and was moved.
    Prolonged,
    /// A member committed itself.
    Sealed {
        /// The member.
        node: AddressText,
    },
    /// The executor answered openly.
    Answered {
        /// The executor.
        node: AddressText,
    },
    /// All are to open their seals.
    Revealing,
    /// A member opened its seal.
    Revealed {
        /// The member.
        node: AddressText,
    },
    /// There was no quorum: a larger committee will be drawn.
    Escalated,
    /// A member was fined.
    Fined {
        /// The member.
        node: AddressText,
        /// For what.
        offence: Offence,
        /// How much.
        fine: AmountText,
    },
    /// It ended.
    Settled,
}

impl From<ledger::Step> for Step {
    fn from(step: ledger::Step) -> Self {
        match step {
            ledger::Step::Created => Self::Created,
            ledger::Step::Drawn => Self::Drawn,
            ledger::Step::Reassigned { from, to } => {
                Self::Reassigned { from: from.into(), to: to.into() }
            }
            ledger::Step::Prolonged => Self::Prolonged,
            ledger::Step::Sealed(node) => Self::Sealed { node: node.into() },
            ledger::Step::Answered(node) => Self::Answered { node: node.into() },
            ledger::Step::Revealing => Self::Revealing,
            ledger::Step::Revealed(node) => Self::Revealed { node: node.into() },
            ledger::Step::Escalated => Self::Escalated,
            ledger::Step::Fined { node, offence, fine } => {
                Self::Fined { node: node.into(), offence: offence.into(), fine: fine.into() }
            }
            ledger::Step::Settled => Self::Settled,
        }
    }
}

impl Event {
    /// A change of an execution in the block of `height`.
    #[must_use]
    pub fn of_change(height: core::Height, change: ledger::Change) -> Self {
        Self::Execution {
            height: height.0,
            execution: change.execution.into(),
            step: change.step.into(),
        }
    }
}

impl Event {
    /// A change of an event in the block of `height`.
    #[must_use]
    pub fn of_event(height: core::Height, change: ledger::EventChange) -> Self {
        Self::Event { height: height.0, key: change.event.into(), step: change.step.into() }
    }

    /// A change of a run in the block of `height`; of a private application's, with those who may
    /// know.
    #[must_use]
    pub fn of_run(
        height: core::Height,
        change: ledger::RunChange,
        readers: Option<Vec<core::Address>>,
    ) -> Self {
        Self::Run {
            height: height.0,
            run: change.run.into(),
            application: change.application.into(),
            step: change.step.into(),
            readers: readers.map(|readers| readers.into_iter().map(Into::into).collect()),
        }
    }
}
