//! Runs a target: on its corpus, and on what a [`Mutator`] makes of it.
//!
//! - Errors: [`Broken`] names the input on which a promise was broken; it becomes a file of the corpus.
//! - Invariant: memory is judged only where [`Counting`](crate::memory::Counting) is the program's
//!   allocator; without it, everything takes nothing.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::memory;
use crate::mutate::Mutator;
use crate::targets::Target;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many inputs there were.
    pub executions: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// The most memory that one took, in bytes.
    pub memory_peak: usize,
}

impl Report {
    fn count(&mut self, input: &[u8], memory: usize) {
        self.executions += 1;
        self.bytes += input.len() as u64;
        self.memory_peak = self.memory_peak.max(memory);
    }

    /// The sum of two runs.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            executions: self.executions + other.executions,
            bytes: self.bytes + other.bytes,
            memory_peak: self.memory_peak.max(other.memory_peak),
        }
    }
}

/// An input on which a target broke its promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which target.
    pub target: &'static str,
    /// What happened.
    pub what: String,
    /// On which input.
    pub input: Vec<u8>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, on {} bytes: ", self.target, self.what, self.input.len())?;
        self.input.iter().take(2_000).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::error::Error for Broken {}

/// Runs a target once; gives the memory that it took.
///
/// # Errors
///
/// [`Broken`] if it panics, or takes more memory than it may.
pub fn once(target: &'static Target, input: &[u8]) -> Result<usize, Broken> {
    let broken = |what: String| Broken { target: target.name, what, input: input.to_vec() };
    let begun = memory::begin();
    // Targets keep nothing that a panic could leave half done.
    let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let taken = begun.peak();
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        return Err(broken(format!("it panicked: {}", text.unwrap_or_default())));
    }
    let most = target.memory.of(input.len());
    if taken > most {
        return Err(broken(format!("it took {taken} bytes of memory, {most} are allowed")));
    }
    Ok(taken)
}

/// Runs a target on every input of a corpus.
///
/// # Errors
///
/// The first [`Broken`].
pub fn corpus<B: AsRef<[u8]>>(target: &'static Target, inputs: &[B]) -> Result<Report, Broken> {
    let mut report = Report::default();
    for input in inputs {
        report.count(input.as_ref(), once(target, input.as_ref())?);
    }
    Ok(report)
}

/// Runs a target on this many inputs made out of a corpus.
///
/// # Errors
///
/// The first [`Broken`].
pub fn mutated<B: AsRef<[u8]>>(
    target: &'static Target,
    inputs: &[B],
    seed: u64,
    executions: u64,
) -> Result<Report, Broken> {
    let mut mutator = Mutator::new(seed, target.text);
    let mut report = Report::default();
    for _ in 0..executions {
        let Some(input) = mutator.input(inputs) else { break };
        report.count(&input, once(target, &input)?);
    }
    Ok(report)
}
