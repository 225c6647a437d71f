//! Mistakes that a ledger could have, for controls: the checks must see each of them.
//!
//! Every node runs the real ledger. With a defect the auditor carries out the nodes' blocks as a ledger
//! with that mistake would: what it leaves in the state is what the next blocks are carried out on. The
//! comparison with the nodes' roots, which would see any of them at once, is left out.

/// A mistake of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// Waits are written under another hash than the one under which events look for them.
    WaitsUnderOtherKeys,
    /// So are applications that listen.
    ListenersUnderOtherKeys,
    /// A step that waits is given an event with other keys.
    GivesAnothersEvent,
    /// Runs are not woken when they are due.
    LosesDeadlines,
    /// Waits are shorter than their files say.
    EndsWaitsEarly,
    /// Who gets something back gets it twice.
    RefundsTwice,
    /// What goes back goes to somebody else.
    RefundsOthers,
    /// Attempts are refused for want of money that is there.
    RefusesMoney,
    /// Deposits do not become less.
    SpendsForNothing,
}
