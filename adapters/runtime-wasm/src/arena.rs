//! Where a call's memory comes from: slots that are used again, or mappings made for it alone.
//!
//! ```text
//!              ┌─ slots: cleaned after each call, their pages stay ── the way of nearly all calls
//!   component ─┤
//!              └─ fresh: mapped for the call, unmapped after it ── too large for a slot, or none free
//! ```
//!
//! - Shapes: [`SLOTS`] slots of 4 GiB of addresses each, of which [`RESIDENT_BYTES`] keep their pages.
//! - Errors: none that a caller sees; what does not fit or finds no free slot goes the other way.
//! - Invariants: both ways run the same machine code and end with the same outcome and fuel; a call
//!   finds nothing of the one before it, whichever way either went.
//! - Source: `docs/adr/0012-slots-for-calls.md`.

use althing_work::Refusal;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::inspect::{self, Exports};
use crate::profile;
use crate::sandbox::{self, Call, TABLE_ELEMENTS_MAX};

/// Slots for linear memories, as long as nobody asks for another number; a component has one, seldom more.
pub const SLOTS: u32 = 64;
/// Core instances and tables for each slot: a component brings some small ones of its own.
const PARTS: u32 = 4;
/// Bytes at the beginning of a memory, and of a table, whose pages are wiped and kept.
const RESIDENT_BYTES: usize = 256 << 10;
const RESIDENT_TABLE_BYTES: usize = 16 << 10;

/// An engine and what services may call in it.
pub(crate) struct Arena {
    pub(crate) engine: Engine,
    linker: Linker<Call>,
}

/// A component that can be instantiated in one arena.
pub(crate) struct Ready {
    pub(crate) component: Component,
    pub(crate) instance: InstancePre<Call>,
    pub(crate) exports: Exports,
}

impl Arena {
    /// Each call has mappings of its own.
    pub(crate) fn fresh() -> wasmtime::Result<Self> {
        Self::of(&profile::config())
    }

    /// Calls share slots, one after another. An error where the machine does not give the addresses.
    pub(crate) fn of_slots(slots: u32) -> wasmtime::Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(slots)
            .total_component_instances(slots)
            .total_core_instances(slots.saturating_mul(PARTS))
            .total_tables(slots.saturating_mul(PARTS))
            .table_elements(TABLE_ELEMENTS_MAX)
            .linear_memory_keep_resident(RESIDENT_BYTES)
            .table_keep_resident(RESIDENT_TABLE_BYTES)
            .pagemap_scan(Enabled::Auto);
        Self::of(profile::config().allocation_strategy(InstanceAllocationStrategy::Pooling(pool)))
    }

    fn of(config: &Config) -> wasmtime::Result<Self> {
        let engine = Engine::new(config)?;
        Ok(Self { linker: sandbox::linker(&engine)?, engine })
    }

    /// Checks the component's type and links it.
    pub(crate) fn ready(
        &self,
        component: Component,
        chance_allowed: bool,
    ) -> Result<Ready, Refusal> {
        let exports = inspect::check_type(&self.engine, &component, chance_allowed)?;
        let instance = self.linker.instantiate_pre(&component).map_err(|error| {
            Refusal::DoesNotCompile { reason: crate::runtime::brief(&format!("{error:#}")) }
        })?;
        Ok(Ready { component, instance, exports })
    }
}
