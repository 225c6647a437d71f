//! Dishonest work beside that of `althing-faults`.

use std::collections::BTreeMap;

use althing_faults::{Copier, Liar, Mute};
use althing_ledger::Execution;
use althing_types::{Address, Hash, Opening};
use althing_work::{Conduct, Honest};

use crate::scenario::Work;

/// All members of a ring lie alike: about the same executions, with the same bytes.
const RING: u64 = 7_777;

/// What a node's part at work comes to.
#[must_use]
pub fn of(work: Work, seed: u64, node: Address) -> Box<dyn Conduct> {
    match work {
        Work::Honest | Work::Hasty => Box::new(Honest),
        Work::Liar(percent) => Box::new(Liar::new(seed, percent)),
        Work::Colluder => Box::new(Liar::new(RING, 100)),
        Work::Copier => Box::new(Copier::new(seed, node)),
        Work::Mute => Box::new(Mute),
        Work::Withholder => Box::new(Withholder),
        Work::LateRevealer => Box::new(LateRevealer::new(seed)),
    }
}

/// Seals and never opens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withholder;

impl Conduct for Withholder {
    fn on_reveal(&mut self, _execution: &Execution, _fitting: Option<Opening>) -> Option<Opening> {
        None
    }
}

/// Opens its seals only after it was asked many times: around the end of the window.
#[derive(Clone, Debug)]
pub struct LateRevealer {
    seed: u64,
    asked: BTreeMap<(Hash, u32), u32>,
}

impl LateRevealer {
    /// Executions that are remembered.
    const ASKED_MAX: usize = 1_024;

    /// Waits differently long for each execution, by the seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, asked: BTreeMap::new() }
    }
}

impl Conduct for LateRevealer {
    fn on_reveal(&mut self, execution: &Execution, fitting: Option<Opening>) -> Option<Opening> {
        if self.asked.len() >= Self::ASKED_MAX {
            self.asked.pop_first();
        }
        let asked = self.asked.entry((execution.id, execution.round)).or_default();
        *asked += 1;
        // Asked about four times a second, and at every change: from 2 to 6 seconds of a window of 4.
        let patience =
            8 + (u32::from(execution.id.0[0]) ^ u32::try_from(self.seed % 16).unwrap_or(0)) % 16;
        fitting.filter(|_| *asked > patience)
    }
}
