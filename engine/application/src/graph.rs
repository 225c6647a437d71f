//! What must and what may have happened before a step begins.

use std::collections::{BTreeMap, BTreeSet};

use althing_types::{After, End, Join, StepStatus};

/// How earlier steps have ended when a step begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// Steps that have ended for certain, each with the ways in which it may have.
    pub(crate) certain: BTreeMap<u16, BTreeSet<StepStatus>>,
    /// Steps that may have ended, each with the ways in which it may have.
    pub(crate) possible: BTreeMap<u16, BTreeSet<StepStatus>>,
    /// Whether there is no way to get here.
    pub(crate) is_impossible: bool,
}

impl Past {
    /// What lies before a step that hangs on these ends; `pasts` are those of earlier steps.
    pub(crate) fn before(after: &After, pasts: &[Self]) -> Self {
        let mut branches = after.ends.iter().map(|end| Self::behind(end, pasts));
        match after.mode {
            Join::All => branches.fold(Self::default(), Self::and),
            Join::Any => {
                let first = branches.next().unwrap_or_default();
                branches.fold(first, Self::or)
            }
        }
    }

    /// What has happened when a step has ended so.
    pub(crate) fn behind(end: &End, pasts: &[Self]) -> Self {
        let mut past = pasts.get(usize::from(end.step)).cloned().unwrap_or_default();
        past.certain.insert(end.step, BTreeSet::from([end.status.clone()]));
        past.possible.insert(end.step, BTreeSet::from([end.status.clone()]));
        past
    }

    fn and(mut self, other: Self) -> Self {
        self.is_impossible |= other.is_impossible;
        for (step, statuses) in other.certain {
            let agreed = match self.certain.get(&step) {
                Some(mine) => mine.intersection(&statuses).cloned().collect(),
                None => statuses,
            };
            self.is_impossible |= agreed.is_empty();
            self.certain.insert(step, agreed);
        }
        self.with_possible(other.possible);
        self
    }

    fn with_possible(&mut self, possible: BTreeMap<u16, BTreeSet<StepStatus>>) {
        for (step, statuses) in possible {
            self.possible.entry(step).or_default().extend(statuses);
        }
    }

    fn or(mut self, other: Self) -> Self {
        if self.is_impossible || other.is_impossible {
            let both = self.is_impossible && other.is_impossible;
            let mut possible = if self.is_impossible { other } else { self };
            possible.is_impossible = both;
            return possible;
        }
        self.certain.retain(|step, _| other.certain.contains_key(step));
        for (step, statuses) in other.certain {
            if let Some(mine) = self.certain.get_mut(&step) {
                mine.extend(statuses);
            }
        }
        self.with_possible(other.possible);
        self
    }
}
