//! What calls cost: what was paid in, less what came back.

use std::fmt;

use althing_types::Amount;
use serde::{Serialize, Serializer};

/// Compensations can make it less than nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    paid: Amount,
    back: Amount,
}

impl Cost {
    pub(crate) fn of(paid: Amount, back: Amount) -> Self {
        Self { paid, back }
    }

    /// Of all together.
    pub(crate) fn sum(costs: impl Iterator<Item = Self> + Clone) -> Self {
        Self {
            paid: costs.clone().map(|cost| cost.paid).sum(),
            back: costs.map(|cost| cost.back).sum(),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.paid.checked_sub(self.back) {
            Some(cost) => cost.fmt(f),
            None => write!(f, "-{}", self.back.saturating_sub(self.paid)),
        }
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compensations_make_calls_cheaper_than_nothing() {
        let cost =
            |paid, back| Cost::of(Amount::from_base_units(paid), Amount::from_base_units(back));
        assert_eq!(cost(40_000, 0).to_string(), "0.04");
        assert_eq!(cost(40_000, 80_000).to_string(), "-0.04");
        let some = [cost(40_000, 0), cost(0, 10_000), cost(0, 0)];
        assert_eq!(Cost::sum(some.into_iter()).to_string(), "0.03");
        assert_eq!(Cost::sum([cost(10_000, 40_000)].into_iter()).to_string(), "-0.03");
        assert_eq!(serde_json::to_string(&cost(0, 1)).unwrap(), "\"-0.000001\"");
    }
}
