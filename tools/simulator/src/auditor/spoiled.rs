//! Blocks as a ledger with a mistake would have carried them out: see [`Defect`].

use std::collections::BTreeSet;

use althing_ledger::{Account, Executed, Receipt, RunRecord, RunStep, Step, keys, query};
use althing_types::{Address, Amount, Hash, purse};
use althing_workflow::StepPhase;

use super::Auditor;
use crate::defect::Defect;
use crate::setting::user_key;

/// By how much waits are too short, in milliseconds.
const HASTE_MS: u64 = 2_000;

impl Auditor {
    /// Makes a block's outcome what the mistake makes it.
    pub(super) fn spoil(&self, defect: Defect, executed: &mut Executed) {
        match defect {
            Defect::WaitsUnderOtherKeys => misplace(executed, &keys::waits(&Hash::ZERO)),
            Defect::ListenersUnderOtherKeys => misplace(executed, &keys::listeners(&Hash::ZERO)),
            Defect::GivesAnothersEvent => self.runs_are(executed, |record| self.confuse(record)),
            Defect::LosesDeadlines => self.lose_deadlines(executed),
            Defect::EndsWaitsEarly => self.runs_are(executed, |record| self.hurry(record)),
            Defect::RefundsTwice => {
                for (payer, refunded) in refunds(executed) {
                    self.pay(executed, &payer, |balance| balance.saturating_add(refunded));
                }
            }
            Defect::RefundsOthers => {
                for (payer, refunded) in refunds(executed) {
                    self.pay(executed, &payer, |balance| balance.saturating_sub(refunded));
                    let other = user_key(0).address();
                    self.pay(executed, &other, |balance| balance.saturating_add(refunded));
                }
            }
            Defect::RefusesMoney => self.refuse(executed),
            Defect::SpendsForNothing => self.restore_purses(executed),
        }
    }

    /// Changes what is written of open runs.
    fn runs_are(&self, executed: &mut Executed, change: impl Fn(&mut RunRecord)) {
        for (key, value) in &mut executed.writes {
            if key.starts_with(keys::RUNS)
                && let Some(bytes) = value
                && let Ok(mut record) = borsh::from_slice::<RunRecord>(bytes)
            {
                change(&mut record);
                *bytes = borsh::to_vec(&record).expect("writing to memory cannot fail");
            }
        }
    }

    /// A step has another event of the same name than the one that it took.
    fn confuse(&self, record: &mut RunRecord) {
        for step in &mut record.run.steps {
            let Some(event) = &mut step.awaited else { continue };
            let Some(own) = self.events.valid.get(&event.key) else { continue };
            let other = self
                .events
                .valid
                .iter()
                .find(|(_, valid)| valid.name == own.name && valid.keys != own.keys);
            if let Some((key, _)) = other {
                event.key = *key;
            }
        }
    }

    fn hurry(&self, record: &mut RunRecord) {
        for step in &mut record.run.steps {
            if step.phase == StepPhase::Waiting {
                let until = step.wait_until.map(|until| until.0.saturating_sub(HASTE_MS));
                step.wait_until = until.map(althing_types::TimeMs);
            }
        }
        record.due = self.runs.plan(&record.application).and_then(|plan| record.run.deadline(plan));
    }

    fn lose_deadlines(&self, executed: &mut Executed) {
        let written = executed.writes.clone();
        let is_run = |id: &Hash| {
            let now = written.get(&keys::run(id)).is_some_and(Option::is_some);
            now || query::run(&self.state, id).ok().flatten().is_some()
        };
        executed.writes.retain(|key, value| {
            let is_due = key.starts_with(keys::DUE) && value.is_some();
            !(is_due && keys::last_hash(key).is_some_and(|id| is_run(&id)))
        });
    }

    /// Attempts that began lack money instead.
    fn refuse(&self, executed: &mut Executed) {
        let Executed { changes, run_changes, .. } = executed;
        let created = changes.iter().filter(|change| change.step == Step::Created);
        let created: BTreeSet<Hash> = created.map(|change| change.execution).collect();
        for change in run_changes {
            if matches!(change.step, RunStep::Began { id, .. } if created.contains(&id)) {
                change.step = RunStep::OutOfFunds;
            }
        }
        let time = self.time;
        self.runs_are(executed, |record| {
            for step in &mut record.run.steps {
                if matches!(step.phase, StepPhase::Working { execution } if created.contains(&execution))
                {
                    step.phase = StepPhase::Short { until: time };
                }
            }
        });
    }

    /// What was spent is there again.
    fn restore_purses(&self, executed: &mut Executed) {
        for id in self.runs.applications.keys() {
            let purse = purse(id);
            let before = query::account(&self.state, &purse).unwrap_or_default().balance;
            if executed.writes.contains_key(&keys::account(&purse)) {
                self.pay(executed, &purse, |balance| balance.max(before));
            }
        }
    }

    fn pay(
        &self,
        executed: &mut Executed,
        address: &Address,
        balance: impl FnOnce(Amount) -> Amount,
    ) {
        let key = keys::account(address);
        let written = executed.writes.get(&key).and_then(Option::as_ref);
        let written = written.and_then(|bytes| borsh::from_slice::<Account>(bytes).ok());
        let known = || query::account(&self.state, address).unwrap_or_default();
        let account = written.unwrap_or_else(known);
        let account = Account { balance: balance(account.balance), ..account };
        let bytes = borsh::to_vec(&account).expect("writing to memory cannot fail");
        executed.writes.insert(key, Some(bytes));
    }
}

/// Writes entries of an index under another hash than the one under which they are looked for.
fn misplace(executed: &mut Executed, like: &[u8]) {
    let Some(letter) = like.first() else { return };
    let is_entry =
        |key: &Vec<u8>, value: &mut Option<Vec<u8>>| key.first() == Some(letter) && value.is_some();
    let entries: Vec<_> =
        executed.writes.extract_if(.., |key, value| is_entry(key, value)).collect();
    executed.writes.extend(entries.into_iter().map(|(mut key, value)| {
        if let Some(byte) = key.get_mut(1) {
            *byte ^= 1;
        }
        (key, value)
    }));
}

/// Who got how much back of what steps cost.
fn refunds(executed: &Executed) -> Vec<(Address, Amount)> {
    let receipts = executed.receipts.iter().filter_map(|receipt| match receipt {
        Receipt::Execution(execution) => Some((execution.payer, execution.refunded)),
        _ => None,
    });
    receipts.filter(|(_, refunded)| *refunded > Amount::ZERO).collect()
}
