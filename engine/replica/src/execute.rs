//! Runs a block's transactions on the tip, and fills or checks the header with what comes of them.
//!
//! The same function builds a block and validates one: a header is valid if it is the header that
//! this node would have written.
//!
//! - Errors: [`Fault`] if the state cannot be trusted, or if the ledger panicked (tokens appeared or
//!   vanished): the node stops, nothing was written.
//! - Invariant: pure in head, draft and transactions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use althing_ledger::{Applied, Authenticated, BlockContext, Executed, Execution, Invalid, Ledger};
use althing_state::Tree;
use althing_state::merkle::list_root;
use althing_types::{Address, Hash, Header, Height, Round, TimeMs};

use crate::application::Fault;
use crate::reader::Head;
use crate::rules::Rules;
use crate::view::{ReadOnce, Undo};

/// What a proposer decides of a header; everything else follows.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) round: Round,
    pub(crate) time: TimeMs,
    pub(crate) proposer: Address,
    pub(crate) beacon: Hash,
}

/// What a block comes to, ready to be committed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) executed: Executed,
    /// The tree after the block.
    pub(crate) tree: Tree,
    /// What the keys that the block writes held before it.
    pub(crate) undo: Undo,
    /// In their order.
    pub(crate) transactions: Vec<Arc<Authenticated>>,
}

/// What transactions are applied for.
pub(crate) enum Purpose<'a> {
    /// The block is being built: what must not be in it is left out, and more may follow.
    Build(&'a mut dyn Sequel),
    /// The block is being checked: what must not be in it makes it invalid.
    Check,
}

/// A block's outcome, and what was refused.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None` if it was stopped.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) refused: Vec<(Hash, Invalid)>,
}

/// What a proposer adds to the block that it is building.
pub(crate) trait Sequel {
    /// Hears of executions whose answers the proposer owes, and does not wait for them.
    fn ask(&mut self, owed: Vec<Execution>);

    /// Transactions that follow; nothing more if there are none.
    fn more(&mut self) -> Vec<Arc<Authenticated>>;
}

/// A block of what the mempool had when it was begun.
pub(crate) struct NoSequel;

impl Sequel for NoSequel {
    fn ask(&mut self, _: Vec<Execution>) {}

    fn more(&mut self) -> Vec<Arc<Authenticated>> {
        Vec::new()
    }
}

/// Applies transactions to the state at `head`; of a block that is being built, its sequel too.
pub(crate) fn run(
    head: &Head,
    rules: &Rules,
    draft: &Draft,
    transactions: Vec<Arc<Authenticated>>,
    purpose: Purpose<'_>,
) -> Result<Run, Fault> {
    let guarded = AssertUnwindSafe(|| apply(head, rules, draft, transactions, purpose));
    // Nothing outlives the closure but its result: after a panic there is no half-changed state.
    match catch_unwind(guarded) {
        Ok(run) => run.map_err(untrusted),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("without a message");
            let fault = Fault::new("executing a block", format!("the ledger panicked: {text}"));
            Err(fault.with_code("CON-0002"))
        }
    }
}

/// A state that is not what was written.
pub(crate) fn untrusted(fault: althing_state::Fault) -> Fault {
    Fault::new("reading the state", fault).with_code("STO-0006")
}

fn apply(
    head: &Head,
    rules: &Rules,
    draft: &Draft,
    mut transactions: Vec<Arc<Authenticated>>,
    mut purpose: Purpose<'_>,
) -> Result<Run, althing_state::Fault> {
    let context = BlockContext {
        chain: rules.chain(),
        height: head.next_height(),
        round: draft.round,
        time: draft.time,
        previous: head.time(),
        proposer: draft.proposer,
        beacon: draft.beacon,
    };
    let base = ReadOnce::new(&head.view);
    let mut ledger = Ledger::begin(&base, context, &rules.eip712, &*rules.signatures)?;
    let mut included = Vec::with_capacity(transactions.len());
    let (mut refused, mut told) = (Vec::new(), 0);
    if let Purpose::Build(sequel) = &mut purpose {
        sequel.ask(ledger.owed_by(&draft.proposer, told)?);
        told = ledger.changes();
    }
    loop {
        for transaction in transactions {
            match (ledger.apply(&transaction)?, &mut purpose) {
                (Applied::Included, Purpose::Build(sequel)) => {
                    included.push(transaction);
                    // At once: the answers are worked on beside the transactions that follow.
                    sequel.ask(ledger.owed_by(&draft.proposer, told)?);
                    told = ledger.changes();
                }
                (Applied::Included, Purpose::Check) => included.push(transaction),
                (Applied::Refused(invalid), Purpose::Build(_)) => {
                    refused.push((transaction.hash(), invalid));
                }
                (Applied::Refused(invalid), Purpose::Check) => {
                    refused.push((transaction.hash(), invalid));
                    return Ok(Run { outcome: None, refused });
                }
            }
        }
        let Purpose::Build(sequel) = &mut purpose else { break };
        transactions = sequel.more();
        if transactions.is_empty() {
            break;
        }
    }
    let executed = ledger.finish()?;
    let undo = base.undo(&executed.writes)?;
    let mut tree = head.view.tree().clone();
    tree.update_writes(&executed.writes);
    let outcome = Outcome { executed, tree, undo, transactions: included };
    Ok(Run { outcome: Some(outcome), refused })
}

/// The one header that a block with this draft and outcome has.
pub(crate) fn header(head: &Head, rules: &Rules, draft: &Draft, outcome: &Outcome) -> Header {
    let hashes: Vec<Hash> = outcome.transactions.iter().map(|t| t.hash()).collect();
    Header {
        chain: rules.chain(),
        height: head.next_height(),
        round: draft.round,
        time: draft.time,
        previous: head.tip.block,
        transactions_root: list_root(&hashes),
        state_root: outcome.tree.root(),
        receipts_root: outcome.executed.receipts_root,
        headers_root: head.headers.root(),
        beacon: draft.beacon,
        validator_set: head.validators.hash(),
        next_validator_set: outcome.executed.next_validators.hash(),
        proposer: draft.proposer,
    }
}

/// What the next proposer's beacon key is applied to.
pub(crate) fn beacon_input(head: &Head, rules: &Rules) -> Hash {
    let height: Height = head.next_height();
    althing_types::beacon_input(rules.chain(), height, &head.beacon())
}
