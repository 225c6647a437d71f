//! What an evaluation may do before it is stopped: the same on every machine.

use super::Failure;

/// What a step costs, in the price of a byte that is copied or compared.
const STEP_COST: u64 = 16;
/// What a mapping takes beside its entries: the standard one makes room for eleven at once.
const MAP_BYTES: usize = 11 * 64;
/// What one evaluation may cost: four million steps, or 64 MiB copied.
pub const COST_MAX: u64 = 64 << 20;

/// Counts steps and bytes down.
#[derive(Debug)]
pub struct Meter {
    left: u64,
}

impl Meter {
    /// With what one evaluation may cost.
    #[must_use]
    pub const fn full() -> Self {
        Self { left: COST_MAX }
    }

    /// Pays for one step.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        self.charge(STEP_COST)
    }

    /// Pays for bytes that are copied or looked at, or that items of a list take.
    pub(crate) fn bytes(&mut self, bytes: usize) -> Result<(), Failure> {
        self.charge(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// Pays for items of a list that are copied.
    pub(crate) fn items(&mut self, items: usize) -> Result<(), Failure> {
        self.bytes(items.saturating_mul(size_of::<super::Value>()))
    }

    /// Pays for a mapping that is made with so many entries.
    pub(crate) fn mapping(&mut self, entries: usize) -> Result<(), Failure> {
        // A full node is split into halves: at least five of eleven places are used.
        let nodes = entries.div_ceil(5);
        self.bytes(nodes.saturating_mul(MAP_BYTES))
    }

    fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.left =
            self.left.checked_sub(cost).ok_or(Failure::Exhausted).inspect_err(|_| self.left = 0)?;
        Ok(())
    }
}
