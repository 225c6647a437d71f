//! An application as the ledger keeps it.
//!
//! ```text
//!   Deploy ─► listens ─Pause─► paused ─Pause─► listens
//!                │ └─Deploy{replaces}─► replaced: starts no more runs
//!                └─Remove─► removed; its deposit returns to the owner with the end of its last run
//!   replaced, removed ─Deploy, the same again─► listens
//! ```
//!
//! - Shapes: [`ApplicationRecord`] changes rarely; what changes with every run is its [`Usage`].
//! - Units: amounts in base units.
//! - Errors: rejections `LED-0050` to `LED-0063`.
//! - Invariants: a removed application is kept for ever, so that its runs can be explained; an
//!   application is indexed as a listener exactly while it starts runs.
//! - Source: `WORKFLOW.md`; `docs/adr/0008-applications-on-the-ledger.md`.

use althing_state::{Fault, View};
use althing_types::{
    Address, Amount, ApplicationTerms, EventName, Hash, Height, TimeMs, Visibility, purse, tagged,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::ledger::Halt;
use crate::{Ledger, Rejection, keys};

/// A moment within a chain: the block, and how many events it had made valid before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Stamp {
    /// The block.
    pub height: Height,
    /// Events that became valid in it before.
    pub events: u32,
}

/// A deployed application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ApplicationRecord {
    /// Names it; see [`application_id`](althing_types::application_id).
    pub id: Hash,
    /// What was deployed.
    pub terms: ApplicationTerms,
    /// Who deployed it.
    pub owner: Address,
    /// When, as a block.
    pub deployed: Height,
    /// When.
    pub deployed_at: TimeMs,
    /// How many applications deep it uses others; zero for none.
    pub depth: u8,
    /// Whether it starts no runs for the time being.
    pub paused: bool,
    /// The application that took its place.
    pub replaced_by: Option<Hash>,
    /// Whether it was removed.
    pub removed: bool,
}

impl ApplicationRecord {
    /// Whether events start runs of it.
    #[must_use]
    pub const fn listens(&self) -> bool {
        !self.paused && !self.removed && self.replaced_by.is_none()
    }

    /// Whether `account`'s applications may use it as a task.
    #[must_use]
    pub fn is_usable_by(&self, account: &Address) -> bool {
        !self.removed && (self.owner == *account || self.terms.visibility == Visibility::Public)
    }
}

/// What an application's runs have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Usage {
    /// Runs started, by events and by other applications.
    pub runs: u64,
    /// Runs that are open.
    pub open: u32,
    /// Events that started no run, because as many were open as may be.
    pub missed: u64,
    /// Spent from its deposit, refunds subtracted.
    pub spent: Amount,
}

/// How many waits of deployed applications look for an event, by the key that finds them; the last
/// entry counts those that look for any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Interest(pub(crate) [u32; 9]);

/// Under what waits and remembered events are found: an event, and one of its keys with its value.
pub(crate) fn topic(event: &EventName, key: Option<(u8, Hash)>) -> Hash {
    let name = event.event.as_str().as_bytes();
    match key {
        None => tagged("althing topic", &[&event.service.0, name]),
        Some((key, value)) => {
            tagged("althing topic key", &[&event.service.0, name, &[key], &value.0])
        }
    }
}

impl<V: View> Ledger<'_, V> {
    pub(crate) fn application(&self, id: &Hash) -> Result<Option<ApplicationRecord>, Fault> {
        self.load(&keys::application(id))
    }

    pub(crate) fn put_application(&mut self, record: &ApplicationRecord) {
        self.write(keys::application(&record.id), record);
    }

    /// The sender's application.
    pub(crate) fn application_of(
        &self,
        owner: &Address,
        id: &Hash,
    ) -> Result<ApplicationRecord, Halt> {
        let record =
            self.application(id)?.ok_or(Rejection::UnknownApplication { application: *id })?;
        if record.owner != *owner {
            return Err(Rejection::NotTheOwner.into());
        }
        Ok(record)
    }

    pub(crate) fn usage(&self, id: &Hash) -> Result<Usage, Fault> {
        Ok(self.load(&keys::usage(id))?.unwrap_or_default())
    }

    pub(crate) fn change_usage(
        &mut self,
        id: &Hash,
        change: impl FnOnce(&mut Usage),
    ) -> Result<(), Fault> {
        let mut usage = self.usage(id)?;
        change(&mut usage);
        self.write(keys::usage(id), &usage);
        Ok(())
    }
}

/// Indexes the application under its trigger, or takes it out of there.
pub(crate) fn listen<V: View>(ledger: &mut Ledger<'_, V>, record: &ApplicationRecord) {
    let Some(event) = &record.terms.plan.trigger.event else { return };
    let key = keys::listener(&topic(event, None), &record.id);
    if record.listens() {
        let stamp = ledger.stamp();
        ledger.write(key, &stamp);
    } else {
        ledger.delete(key);
    }
}

/// Counts the application's waits in or out, so that the events which they look for are remembered.
pub(crate) fn count_interest<V: View>(
    ledger: &mut Ledger<'_, V>,
    record: &ApplicationRecord,
    more: bool,
) -> Result<(), Fault> {
    for wait in record.terms.plan.steps.iter().filter_map(|step| step.wait.as_ref()) {
        let key = keys::interest(&topic(&wait.event, None));
        let mut interest: Interest = ledger.load(&key)?.unwrap_or_default();
        let first = wait.filter.first().map_or(8, |filter| usize::from(filter.key));
        if let Some(count) = interest.0.get_mut(first) {
            *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        ledger.write(key, &interest);
    }
    Ok(())
}

/// Lets go of a removed application whose last run has ended.
pub(crate) fn retire<V: View>(ledger: &mut Ledger<'_, V>, id: &Hash) -> Result<(), Fault> {
    let Some(record) = ledger.application(id)? else { return Ok(()) };
    if !record.removed || ledger.usage(id)?.open > 0 {
        return Ok(());
    }
    count_interest(ledger, &record, false)?;
    sweep(ledger, id)
}

/// Gives what is left of a removed application's deposit to its owner, once none of its runs is
/// open: what an execution still refunds comes later.
pub(crate) fn sweep<V: View>(ledger: &mut Ledger<'_, V>, id: &Hash) -> Result<(), Fault> {
    let Some(record) = ledger.application(id)? else { return Ok(()) };
    if !record.removed || ledger.usage(id)?.open > 0 {
        return Ok(());
    }
    let purse = purse(id);
    let left = ledger.balance(&purse)?;
    if left.is_zero() {
        return Ok(());
    }
    ledger.take(&purse, left)?;
    ledger.credit(&record.owner, left)
}
