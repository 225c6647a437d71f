//! What must hold of deposits that run out.
//!
//! | claim | checked |
//! |---|---|
//! | a step lacks money only where there is too little | every step that comes to lack it, or is repeated in vain |

use std::collections::{BTreeMap, BTreeSet};

use althing_ledger::{Executed, OperationResult, Receipt, RunRecord, query};
use althing_types::{Action, Address, Amount, Block, Hash, Operation, StepPlan, purse};
use althing_workflow::{StepPhase, StepRun};

use super::Auditor;

/// What came into each purse in a block while its application was there.
pub(super) fn inflows(block: &Block, executed: &Executed) -> BTreeMap<Address, Amount> {
    let mut inflows: BTreeMap<Address, Amount> = BTreeMap::new();
    let mut add = |to: Address, amount: Amount| {
        let sum = inflows.entry(to).or_default();
        *sum = sum.saturating_add(amount);
    };
    let mut signed = block.transactions.iter();
    for receipt in &executed.receipts {
        match receipt {
            Receipt::Execution(execution) => add(execution.payer, execution.refunded),
            Receipt::Transaction(receipt) => {
                let Some(signed) = signed.next() else { continue };
                for (operation, result) in
                    signed.transaction.operations.iter().zip(&receipt.results)
                {
                    // What an application is deployed with is there before any of its steps.
                    if let (Operation::Transfer(transfer), OperationResult::Done) =
                        (operation, result)
                    {
                        add(transfer.to, transfer.amount);
                    }
                }
            }
            Receipt::Event(_) | Receipt::Run(_) => {}
        }
    }
    inflows
}

impl Auditor {
    /// Which steps of a run say that they lack money, though there was enough for them throughout the block.
    pub(super) fn lacks_nothing(
        &self,
        record: &RunRecord,
        repeated: &BTreeSet<Hash>,
        inflows: &BTreeMap<Address, Amount>,
    ) -> Vec<String> {
        let Some(plan) = self.runs.plan(&record.application) else { return Vec::new() };
        let purse = purse(&record.payer);
        let balance = query::account(&self.state, &purse).unwrap_or_default().balance;
        let came = inflows.get(&purse).copied().unwrap_or_default();
        // It was never less than what is there without what came.
        let least = balance.saturating_sub(came);
        let before = self.runs.known(&record.id).map(|before| &before.run.steps);
        let is_short = |step: &StepRun| matches!(step.phase, StepPhase::Short { .. });
        let steps = record.run.steps.iter().zip(&plan.steps).enumerate();
        steps
            .filter(|(index, (step, planned))| {
                let was = before.and_then(|steps| steps.get(*index)).is_some_and(is_short);
                is_short(step)
                    && (!was || repeated.contains(&record.id))
                    && self.price(planned).is_some_and(|price| least >= price)
            })
            .map(|(index, _)| format!("step {index} of {} lacks money, and has {least}", record.id))
            .collect()
    }

    /// What an attempt costs, by the service's terms.
    fn price(&self, planned: &StepPlan) -> Option<Amount> {
        let Action::Task { service, task } = &planned.action else { return None };
        let service = query::service(&self.state, service).ok().flatten()?;
        let task = service.terms.task(task)?;
        let checks = task.check_price.checked_mul(u64::from(planned.checkers))?;
        Some(task.price.saturating_add(checks))
    }
}
