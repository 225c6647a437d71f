//! Counters with a meaning of their own.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The next one; stays at the maximum.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// `n` further; stays at the maximum.
            #[must_use]
            pub const fn after(self, n: $inner) -> Self {
                Self(self.0.saturating_add(n))
            }

            /// How far `self` lies behind `later`; zero if it does not.
            #[must_use]
            pub const fn until(self, later: Self) -> $inner {
                later.0.saturating_sub(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity!(
    /// Distinguishes chains; part of every signed digest.
    ChainId(u64)
);
quantity!(
    /// The number of a block; genesis has zero, the first block one.
    Height(u64)
);
quantity!(
    /// How many transactions an account has made; the next transaction carries this number.
    Nonce(u64)
);
quantity!(
    /// An attempt at deciding one height, from zero.
    Round(u32)
);
quantity!(
    /// Milliseconds since 1970-01-01T00:00Z, as the block's proposer saw it.
    TimeMs(u64)
);
