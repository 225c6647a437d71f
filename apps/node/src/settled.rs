//! Which executions, events and runs have ended lately: an index for lists, rebuilt at every start.
//!
//! The records themselves are in the archive for ever and are found by their id; this only remembers
//! ids, and of those the newest.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use althing_replica::{ReadError, Reader, Subject};
use althing_types::{Hash, Height};

/// How many ids of each kind are remembered.
const IDS_MAX: usize = 20_000;
/// How many blocks are looked at when the node starts.
const BLOCKS_AT_START: u64 = 2_000;

#[derive(Debug, Default)]
struct Lately {
    by_age: VecDeque<Hash>,
    by_id: BTreeSet<Hash>,
}

/// The newest ids of one kind.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<Lately>);

/// The ids of what has ended lately.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) executions: Ids,
    pub(crate) events: Ids,
    pub(crate) runs: Ids,
}

impl Settled {
    /// Looks through the last blocks.
    pub(crate) fn rebuild(reader: &Reader) -> Result<Self, ReadError> {
        let settled = Self::default();
        let tip = reader.head().tip.height.0;
        for height in tip.saturating_sub(BLOCKS_AT_START) + 1..=tip {
            let Some((block, _)) = reader.decided(Height(height))? else { continue };
            settled.add(reader.subjects(&block.header.id())?.unwrap_or_default().iter());
        }
        Ok(settled)
    }

    /// Notes what a block's receipts are about.
    pub(crate) fn add<'a>(&self, subjects: impl Iterator<Item = &'a Subject>) {
        for subject in subjects {
            match subject {
                Subject::Execution(id) => self.executions.add(*id),
                Subject::Event(key) => self.events.add(*key),
                Subject::Run(id) => self.runs.add(*id),
                Subject::Transaction(_) => {}
            }
        }
    }
}

impl Ids {
    fn lock(&self) -> MutexGuard<'_, Lately> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: Hash) {
        let mut ids = self.lock();
        if ids.by_id.insert(id) {
            ids.by_age.push_back(id);
            if ids.by_age.len() > IDS_MAX
                && let Some(oldest) = ids.by_age.pop_front()
            {
                ids.by_id.remove(&oldest);
            }
        }
    }

    /// Up to `limit` ids after `after`, ascending.
    pub(crate) fn after(&self, after: Option<&Hash>, limit: usize) -> Vec<Hash> {
        let ids = self.lock();
        let beyond = |id: &&Hash| after.is_none_or(|after| *id > after);
        match after {
            Some(after) => ids.by_id.range(*after..).filter(beyond).take(limit).copied().collect(),
            None => ids.by_id.iter().take(limit).copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_listed_in_order_and_the_oldest_are_forgotten() {
        let settled = Settled::default();
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Hash(bytes)
        };
        let subjects: Vec<Subject> =
            (0..IDS_MAX + 5).map(|number| Subject::Execution(id(number))).collect();
        settled.add(subjects.iter());
        assert_eq!(settled.executions.after(None, 2), [id(5), id(6)]);
        assert_eq!(settled.executions.after(Some(&id(6)), 2), [id(7), id(8)]);
        settled.add([Subject::Run(id(1)), Subject::Event(id(2))].iter());
        assert_eq!(
            (settled.runs.after(None, 9), settled.events.after(None, 9)),
            (vec![id(1)], vec![id(2)])
        );
    }
}
