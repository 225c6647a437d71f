//! Exact decimal numbers: what expressions calculate with.
//!
//! JSON has one kind of number and so have expressions: `12`, `12.0` and `"12"` read as money are
//! the same, on every processor. Addition, subtraction and multiplication are exact or fail;
//! a quotient is cut after [`SCALE_MAX`] decimals, toward zero.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde_json::{Number as JsonNumber, Value};

/// Most decimals.
pub const SCALE_MAX: u32 = 18;

/// `units · 10^-scale`, without trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    units: i128,
    scale: u32,
}

/// The result has more digits than a number holds, or more than [`SCALE_MAX`] decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl Number {
    /// Nought.
    pub const ZERO: Self = Self { units: 0, scale: 0 };

    /// `units · 10^-scale`.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many decimals.
    pub fn new(mut units: i128, mut scale: u32) -> Result<Self, OutOfRange> {
        if units == 0 {
            return Ok(Self::ZERO);
        }
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        if scale > SCALE_MAX {
            return Err(OutOfRange);
        }
        Ok(Self { units, scale })
    }

    /// Reads a number of JSON; floats by their shortest decimal text, as canonical JSON writes them.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn from_json(number: &JsonNumber) -> Result<Self, OutOfRange> {
        if let Some(integer) = number.as_i64() {
            return Ok(Self { units: integer.into(), scale: 0 });
        }
        scientific(&number.to_string())
    }

    /// As a number of JSON, if that keeps every digit.
    #[must_use]
    pub fn to_json(self) -> Option<Value> {
        const INTEGER_MAX: u128 = althing_manifest::INTEGER_MAX as u128;
        if self.scale == 0 {
            let integer = i64::try_from(self.units).ok()?;
            return (self.units.unsigned_abs() <= INTEGER_MAX).then(|| integer.into());
        }
        let float: f64 = self.to_string().parse().ok()?;
        let number = JsonNumber::from_f64(float)?;
        (Self::from_json(&number) == Ok(self)).then_some(Value::Number(number))
    }

    /// Whether there is nothing behind the point.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        self.scale == 0
    }

    /// As an index or a count.
    #[must_use]
    pub fn to_usize(self) -> Option<usize> {
        if self.is_integer() { usize::try_from(self.units).ok() } else { None }
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        let (a, b, scale) = aligned(self, other)?;
        Self::new(a.checked_add(b).ok_or(OutOfRange)?, scale)
    }

    /// The difference.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn minus(self, other: Self) -> Result<Self, OutOfRange> {
        self.plus(other.negated()?)
    }

    /// The opposite.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for the least number of all.
    pub fn negated(self) -> Result<Self, OutOfRange> {
        Ok(Self { units: self.units.checked_neg().ok_or(OutOfRange)?, ..self })
    }

    /// The product.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn times(self, other: Self) -> Result<Self, OutOfRange> {
        Self::new(self.units.checked_mul(other.units).ok_or(OutOfRange)?, self.scale + other.scale)
    }

    /// The quotient, cut after [`SCALE_MAX`] decimals; `None` by nought.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn over(self, other: Self) -> Result<Option<Self>, OutOfRange> {
        if other.units == 0 {
            return Ok(None);
        }
        let (mut rest, divisor, _) = aligned(self, other)?;
        // Digit by digit: the dividend times 10^18 may not fit.
        let mut units = rest / divisor;
        rest %= divisor;
        let mut scale = 0;
        while rest != 0 && scale < SCALE_MAX {
            rest = rest.checked_mul(10).ok_or(OutOfRange)?;
            units = units
                .checked_mul(10)
                .and_then(|u| u.checked_add(rest / divisor))
                .ok_or(OutOfRange)?;
            rest %= divisor;
            scale += 1;
        }
        Self::new(units, scale).map(Some)
    }

    /// What a whole quotient leaves, with the sign of the dividend; `None` by nought.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn modulo(self, other: Self) -> Result<Option<Self>, OutOfRange> {
        let (a, b, scale) = aligned(self, other)?;
        a.checked_rem(b).map(|units| Self::new(units, scale)).transpose()
    }

    /// Cut to an integer: toward zero, down or up.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for too many digits.
    pub fn rounded(self, rounding: Rounding) -> Result<Self, OutOfRange> {
        let power = power(self.scale)?;
        let units = match rounding {
            Rounding::TowardZero => self.units / power,
            Rounding::Down => self.units.div_euclid(power),
            Rounding::Up => {
                self.units.div_euclid(power) + i128::from(self.units.rem_euclid(power) != 0)
            }
        };
        Self::new(units, 0)
    }
}

/// Where a number with decimals goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the least integer that is not less.
    Up,
    /// To the greatest integer that is not greater.
    Down,
    /// To the integer without the decimals.
    TowardZero,
}

fn power(exponent: u32) -> Result<i128, OutOfRange> {
    10_i128.checked_pow(exponent).ok_or(OutOfRange)
}

fn aligned(a: Number, b: Number) -> Result<(i128, i128, u32), OutOfRange> {
    let scale = a.scale.max(b.scale);
    let lift = |n: Number| n.units.checked_mul(power(scale - n.scale)?).ok_or(OutOfRange);
    Ok((lift(a)?, lift(b)?, scale))
}

/// `-12.5e-7`, as JSON writes floats.
fn scientific(text: &str) -> Result<Number, OutOfRange> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let number: Number = digits.parse().map_err(|_| OutOfRange)?;
    let exponent: i32 = exponent.parse().map_err(|_| OutOfRange)?;
    let magnitude = exponent.unsigned_abs();
    if exponent < 0 {
        return Number::new(number.units, number.scale.saturating_add(magnitude));
    }
    let cut = magnitude.min(number.scale);
    let units = number.units.checked_mul(power(magnitude - cut)?).ok_or(OutOfRange)?;
    Number::new(units, number.scale - cut)
}

impl FromStr for Number {
    type Err = OutOfRange;

    /// Reads `-?[0-9]+(\.[0-9]+)?`, the form of amounts.
    fn from_str(text: &str) -> Result<Self, OutOfRange> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(OutOfRange),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return Err(OutOfRange);
        }
        let fraction = fraction.trim_end_matches('0');
        let mut units: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            units = units
                .checked_mul(10)
                .and_then(|u| u.checked_add(i128::from(byte - b'0')))
                .ok_or(OutOfRange)?;
        }
        Self::new(
            if negative { -units } else { units },
            u32::try_from(fraction.len()).map_err(|_| OutOfRange)?,
        )
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.units < 0 {
            f.write_str("-")?;
        }
        let magnitude = self.units.unsigned_abs();
        let power = 10_u128.pow(self.scale);
        write!(f, "{}", magnitude / power)?;
        if self.scale > 0 {
            write!(f, ".{:0width$}", magnitude % power, width = self.scale as usize)?;
        }
        Ok(())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let halves = |n: &Self| {
            let power = 10_i128.pow(n.scale);
            (
                n.units.div_euclid(power),
                n.units.rem_euclid(power) * 10_i128.pow(SCALE_MAX - n.scale),
            )
        };
        halves(self).cmp(&halves(other))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_exact_where_floats_are_not() {
        assert_eq!(number("0.1").plus(number("0.2")).unwrap(), number("0.3"));
        assert_eq!(number("1.10").to_string(), "1.1");
        assert_eq!(number("-0.05").to_string(), "-0.05");
        assert!(number("10") > number("9.99"));
        assert!(number("-1.5") < number("-1.25"));
    }

    #[test]
    fn json_and_texts_of_one_number_are_equal() {
        for (json, text) in
            [("12.0", "12"), ("1e3", "1000"), ("1.5e-7", "0.00000015"), ("-2.50", "-2.5")]
        {
            let json: JsonNumber = serde_json::from_str(json).unwrap();
            assert_eq!(Number::from_json(&json).unwrap(), number(text), "{json}");
        }
        let tiny: JsonNumber = serde_json::from_str("1e-19").unwrap();
        assert_eq!(Number::from_json(&tiny), Err(OutOfRange));
        let absurd: JsonNumber = serde_json::from_str("1e-300").unwrap();
        assert_eq!(Number::from_json(&absurd), Err(OutOfRange));
    }

    #[test]
    fn a_quotient_is_cut_after_eighteen_decimals() {
        assert_eq!(number("7").over(number("2")).unwrap(), Some(number("3.5")));
        assert_eq!(number("-1").over(number("3")).unwrap(), Some(number("-0.333333333333333333")));
        assert_eq!(number("1").over(Number::ZERO).unwrap(), None);
        assert_eq!(number("1").modulo(Number::ZERO).unwrap(), None);
    }

    #[test]
    fn what_is_not_plainly_a_number_is_none() {
        for text in ["", "-", ".5", "5.", "1e3", "+1", " 1", "0x1", "1,5", "NaN", "--1"] {
            assert_eq!(text.parse::<Number>(), Err(OutOfRange), "{text}");
        }
        assert!("9".repeat(60).parse::<Number>().is_err());
    }

    #[test]
    fn a_number_that_json_would_round_is_not_written_as_one() {
        assert_eq!(number("12.5").to_json(), Some(serde_json::json!(12.5)));
        assert_eq!(number("9007199254740992").to_json(), None);
        assert_eq!("0.1234567890123456789".parse::<Number>(), Err(OutOfRange));
    }

    proptest! {
        #[test]
        fn a_number_reads_what_it_prints(units in any::<i64>(), scale in 0..=SCALE_MAX) {
            let number = Number::new(units.into(), scale).unwrap();
            prop_assert_eq!(number.to_string().parse::<Number>(), Ok(number));
        }

        #[test]
        fn order_agrees_with_subtraction(a in any::<i64>(), x in 0..9_u32, b in any::<i64>(), y in 0..9_u32) {
            let (a, b) = (Number::new(a.into(), x).unwrap(), Number::new(b.into(), y).unwrap());
            prop_assert_eq!(a.cmp(&b), a.minus(b).unwrap().cmp(&Number::ZERO));
        }
    }
}
