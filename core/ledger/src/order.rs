//! How an execution comes to be: by a call, or by a step of a run.

use alloc::vec::Vec;

use althing_state::View;
use althing_types::{
    Address, Amount, BlobRef, EndpointId, Hash, Name, TaskTerms, Verification, are_label_conditions,
};

use crate::execution::{Origin, Phase, Step};
use crate::ledger::Halt;
use crate::{Execution, Ledger, Rejection, Restriction, committee};

/// Most nodes to which a draw may be restricted.
const NODES_MAX: usize = 128;

/// What is to be executed and how it is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) service: &'a Hash,
    pub(crate) task: &'a Name,
    pub(crate) checkers: u16,
    /// Zero for the majority.
    pub(crate) quorum: u16,
    pub(crate) restriction: Restriction<'a>,
    pub(crate) price_max: Amount,
}

/// Who asks for it, from what, and who pays.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: Hash,
    pub(crate) payer: Address,
    pub(crate) input: BlobRef,
    pub(crate) origin: Origin,
    pub(crate) homes: Vec<EndpointId>,
}

/// What a piece of work costs.
#[derive(Clone, Debug)]
pub(crate) struct Quote {
    pub(crate) task: TaskTerms,
    pub(crate) quorum: u16,
    pub(crate) price: Amount,
}

/// Checks a piece of work against the service's terms and the chain's bounds.
pub(crate) fn quote<V: View>(ledger: &Ledger<'_, V>, work: &Work<'_>) -> Result<Quote, Halt> {
    let service = ledger
        .service(work.service)?
        .ok_or(Rejection::UnknownService { service: *work.service })?;
    let task = service.terms.task(work.task).ok_or(Rejection::UnknownTask)?;
    let most = ledger.parameters.checkers_max;
    if work.checkers > most {
        return Err(Rejection::TooManyCheckers { most }.into());
    }
    if task.verification == Verification::None && work.checkers > 0 {
        return Err(Rejection::CannotBeChecked.into());
    }
    let all = work.checkers.saturating_add(1);
    let least = all.checked_div(2).unwrap_or(0).saturating_add(1);
    let quorum = if work.quorum == 0 { least } else { work.quorum };
    if quorum < least || quorum > all {
        return Err(Rejection::BadQuorum { least, most: all }.into());
    }
    let Restriction { nodes, labels } = work.restriction;
    let ordered = nodes.is_sorted_by(|a, b| a < b);
    if nodes.len() > NODES_MAX || !ordered {
        return Err(Rejection::BadNodeList.into());
    }
    if !are_label_conditions(labels) {
        return Err(Rejection::BadLabels.into());
    }
    // A product that does not fit is above everybody's limit and balance.
    let checks = task.check_price.checked_mul(u64::from(work.checkers)).unwrap_or(Amount::MAX);
    let price = task.price.saturating_add(checks);
    if price > work.price_max {
        return Err(Rejection::AbovePriceLimit { price, limit: work.price_max }.into());
    }
    Ok(Quote { task: task.clone(), quorum, price })
}

/// Takes the price from the payer, and opens the execution. Rejected, it has changed nothing.
pub(crate) fn place<V: View>(
    ledger: &mut Ledger<'_, V>,
    work: &Work<'_>,
    order: Order,
) -> Result<Hash, Halt> {
    let Quote { task, quorum, price } = quote(ledger, work)?;
    let Order { id, payer, input, origin, homes } = order;
    ledger.debit(&payer, price)?;
    let now = ledger.block.time;
    ledger.note(id, Step::Created);
    let execution = Execution {
        id,
        payer,
        service: *work.service,
        task: task.name,
        verification: task.verification,
        input,
        origin,
        homes,
        checkers: work.checkers,
        quorum,
        nodes: work.restriction.nodes.to_vec(),
        labels: work.restriction.labels.to_vec(),
        price: task.price,
        check_price: task.check_price,
        time_limit_ms: task.time_limit_ms,
        escrow: price,
        paid_in: price,
        fines: Amount::ZERO,
        refunded: Amount::ZERO,
        created: ledger.block.height,
        created_at: now,
        changed: ledger.block.height,
        phase: Phase::Created,
        due: now,
        round: 0,
        refills: 0,
        members: Vec::new(),
        substitutes: Vec::new(),
        draws: Vec::new(),
        conclusion: None,
    };
    committee::begin(ledger, execution)?;
    Ok(id)
}
