//! Amounts of the native token, and shares of them.

use core::fmt;
use core::iter::Sum;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Malformed;

/// Base units in one token.
pub const BASE_UNITS_PER_TOKEN: u128 = 1_000_000;

/// An amount of the native token, in base units (1 token = 10^6 base units).
///
/// Arithmetic is checked: an amount never wraps. Shares round down, so that they never exceed the
/// whole.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount; no supply reaches it.
    pub const MAX: Self = Self(u128::MAX);

    /// From base units.
    #[must_use]
    pub const fn from_base_units(units: u128) -> Self {
        Self(units)
    }

    /// From whole tokens.
    #[must_use]
    pub const fn from_tokens(tokens: u64) -> Self {
        Self(tokens as u128 * BASE_UNITS_PER_TOKEN)
    }

    /// The number of base units.
    #[must_use]
    pub const fn base_units(self) -> u128 {
        self.0
    }

    /// Whole tokens, rounded down; at most `u32::MAX`, so that sums of voting power stay far below
    /// the consensus engine's limit of `u64::MAX / 3`.
    #[must_use]
    pub fn whole_tokens(self) -> u64 {
        u64::from(u32::try_from(self.0 / BASE_UNITS_PER_TOKEN).unwrap_or(u32::MAX))
    }

    /// True for zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` where it would not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when `other` is the larger amount.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum, or the largest amount; used where the supply bounds the sum.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `n` times this amount, or `None` where it would not fit.
    #[must_use]
    pub fn checked_mul(self, n: u64) -> Option<Self> {
        self.0.checked_mul(u128::from(n)).map(Self)
    }

    /// `numerator / denominator` of this amount, rounded down; zero for a zero denominator.
    ///
    /// Exact for every amount up to 2^96 base units; larger ones lose the bits that would not fit.
    #[must_use]
    pub fn share(self, numerator: u64, denominator: u64) -> Self {
        let (n, d) = (u128::from(numerator), u128::from(denominator));
        let (Some(quotient), Some(rest)) = (self.0.checked_div(d), self.0.checked_rem(d)) else {
            return Self::ZERO;
        };
        Self(
            quotient
                .saturating_mul(n)
                .saturating_add(rest.saturating_mul(n).checked_div(d).unwrap_or(0)),
        )
    }
}

impl Sum for Amount {
    /// Stays at the maximum rather than wrap.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| Self(sum.0.saturating_add(amount.0)))
    }
}

impl fmt::Display for Amount {
    /// Tokens with the decimals that are needed: `12.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, mut units) = (self.0 / BASE_UNITS_PER_TOKEN, self.0 % BASE_UNITS_PER_TOKEN);
        if units == 0 {
            return write!(f, "{tokens}");
        }
        let mut digits = 6;
        while units % 10 == 0 {
            units /= 10;
            digits -= 1;
        }
        write!(f, "{tokens}.{units:0digits$}")
    }
}

impl FromStr for Amount {
    type Err = Malformed;

    /// Tokens with up to six decimals: `12`, `12.5`, `0.000001`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let with_point_but_none = text.contains('.') && decimals.is_empty();
        if whole.is_empty()
            || !digits(whole)
            || !digits(decimals)
            || decimals.len() > 6
            || with_point_but_none
        {
            return Err(Malformed::Amount);
        }
        let tokens: u128 = whole.parse().map_err(|_| Malformed::Amount)?;
        let mut units: u128 = 0;
        for place in 0..6 {
            let digit = decimals.as_bytes().get(place).map_or(0, |byte| byte - b'0');
            units = units * 10 + u128::from(digit);
        }
        let units = tokens.checked_mul(BASE_UNITS_PER_TOKEN).and_then(|t| t.checked_add(units));
        units.map(Self).ok_or(Malformed::Amount)
    }
}

/// Hundredths of a percent: 10,000 are the whole.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct BasisPoints(pub u32);

impl BasisPoints {
    /// One.
    pub const WHOLE: Self = Self(10_000);

    /// This share of an amount, rounded down.
    #[must_use]
    pub fn of(self, amount: Amount) -> Amount {
        amount.share(u64::from(self.0), 10_000)
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} %", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_amount_reads_back_what_it_prints() {
        for text in ["0", "1", "12.5", "0.000001", "340282366920938463463374607431.768211"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn texts_that_are_no_amounts_are_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1e3",
            "1.0000001",
            "1,5",
            "99999999999999999999999999999999999999",
        ] {
            assert_eq!(text.parse::<Amount>(), Err(Malformed::Amount), "{text}");
        }
    }

    #[test]
    fn a_share_never_exceeds_its_whole_and_does_not_overflow() {
        let all = Amount::from_base_units(u128::from(u64::MAX));
        assert_eq!(all.share(10_000, 10_000), all);
        assert_eq!(Amount::from_base_units(7).share(1, 2), Amount::from_base_units(3));
        assert_eq!(all.share(1, 0), Amount::ZERO);
    }
}
