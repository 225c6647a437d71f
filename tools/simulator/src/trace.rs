//! What happened, as a hash and as the last few lines.

use std::collections::VecDeque;
use std::fmt;

use althing_types::{Hash, Keccak};

/// Lines that are kept.
const LINES_MAX: usize = 400;

/// Every event of a run, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    hasher: Keccak,
    events: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// Folds an event in.
    pub(crate) fn event(&mut self, now_us: u64, node: usize, kind: u8, bytes: &[u8]) {
        self.events += 1;
        self.hasher.update(&now_us.to_be_bytes());
        self.hasher.update(&(node as u64).to_be_bytes());
        self.hasher.update(&[kind]);
        self.hasher.update(&(bytes.len() as u64).to_be_bytes());
        self.hasher.update(bytes);
    }

    /// Remembers something that a person wants to see when a run fails; part of the hash too.
    pub(crate) fn line(&mut self, now_us: u64, line: impl fmt::Display) {
        let line = format!("{:>10.3} s  {line}", now_us as f64 / 1e6);
        self.hasher.update(line.as_bytes());
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// How many events there were.
    #[must_use]
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far: equal runs have equal ones.
    #[must_use]
    pub(crate) fn hash(&self) -> Hash {
        self.hasher.clone().finish()
    }

    /// The last lines.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
