//! Decimal numbers as scaled integers, exactly: what emitters measure, without floats.

/// Digits that every reader of JSON numbers keeps: what is longer belongs into a string.
const NUMBER_UNITS_MAX: u64 = 999_999_999_999_999;

/// Why a text is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDecimal {
    /// It is no decimal number.
    Syntax,
    /// It does not fit 64 bits at this many decimals.
    Range,
    /// It has more decimals.
    Inexact,
}

/// Reads a JSON number, or the same in a string, in units of the last of `decimals`; half a unit is
/// rounded away from zero.
pub(crate) fn parse(text: &str, decimals: u8) -> Result<i64, NotDecimal> {
    scaled(text, decimals).map(|(value, _)| value)
}

/// As [`parse`], and nothing may be rounded.
pub(crate) fn parse_exact(text: &str, decimals: u8) -> Result<i64, NotDecimal> {
    match scaled(text, decimals)? {
        (value, true) => Ok(value),
        (_, false) => Err(NotDecimal::Inexact),
    }
}

/// How many decimals a text without exponent has.
pub(crate) fn decimals_of(text: &str) -> u8 {
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    u8::try_from(decimals).unwrap_or(u8::MAX)
}

/// The value with all its decimals, as it is written in a string.
pub(crate) fn to_text(value: i64, decimals: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let decimals = usize::from(decimals);
    if decimals == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, fraction) = padded.split_at(padded.len() - decimals);
    format!("{sign}{whole}.{fraction}")
}

/// Whether a JSON number keeps the value.
pub(crate) const fn fits_a_number(value: i64) -> bool {
    value.unsigned_abs() <= NUMBER_UNITS_MAX
}

fn scaled(text: &str, decimals: u8) -> Result<(i64, bool), NotDecimal> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
            (mantissa, exponent.parse::<i32>().map_err(|_| NotDecimal::Syntax)?)
        }
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let only_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !only_digits(whole) || !only_digits(fraction) {
        return Err(NotDecimal::Syntax);
    }
    // Where the point is once the value is in units, counted from the first digit.
    let point = i64::try_from(whole.len()).map_err(|_| NotDecimal::Range)?
        + i64::from(exponent)
        + i64::from(decimals);
    let mut units: i128 = 0;
    let (mut exact, mut half) = (true, false);
    for (place, digit) in (0_i64..).zip(whole.bytes().chain(fraction.bytes())) {
        let digit = i128::from(digit - b'0');
        if place < point {
            units = push(units, digit)?;
        } else {
            half |= place == point && digit >= 5;
            exact &= digit == 0;
        }
    }
    let given = i64::try_from(whole.len() + fraction.len()).map_err(|_| NotDecimal::Range)?;
    if units != 0 {
        for _ in given..point {
            units = push(units, 0)?;
        }
    }
    if half {
        units += 1;
    }
    let signed = if negative { -units } else { units };
    Ok((i64::try_from(signed).map_err(|_| NotDecimal::Range)?, exact))
}

/// One digit more; far beyond 64 bits is out of range, however many digits follow.
fn push(units: i128, digit: i128) -> Result<i128, NotDecimal> {
    let more = units * 10 + digit;
    if more > i128::from(u64::MAX) { Err(NotDecimal::Range) } else { Ok(more) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_these_values() {
        for (text, decimals, expected) in [
            ("20.01", 3, Ok(20_010)),
            ("-20.01", 3, Ok(-20_010)),
            ("0", 18, Ok(0)),
            ("-0", 3, Ok(0)),
            ("7", 0, Ok(7)),
            ("1e3", 2, Ok(100_000)),
            ("1.5E-2", 3, Ok(15)),
            ("2.5e+1", 0, Ok(25)),
            ("0.0005", 3, Ok(1)),
            ("-0.0005", 3, Ok(-1)),
            ("0.00049999", 3, Ok(0)),
            ("1e-999999999", 3, Ok(0)),
            ("0e999999999", 3, Ok(0)),
            ("9.223372036854775807", 18, Ok(i64::MAX)),
            ("-9223372036854775808", 0, Ok(i64::MIN)),
            ("9223372036854775808", 0, Err(NotDecimal::Range)),
            ("1e999999999", 3, Err(NotDecimal::Range)),
            ("10", 18, Err(NotDecimal::Range)),
            ("", 3, Err(NotDecimal::Syntax)),
            ("-", 3, Err(NotDecimal::Syntax)),
            (".5", 3, Err(NotDecimal::Syntax)),
            ("5.", 3, Err(NotDecimal::Syntax)),
            ("1,5", 3, Err(NotDecimal::Syntax)),
            ("--1", 3, Err(NotDecimal::Syntax)),
            ("1e", 3, Err(NotDecimal::Syntax)),
            ("0x10", 3, Err(NotDecimal::Syntax)),
            ("\u{0661}", 3, Err(NotDecimal::Syntax)),
        ] {
            assert_eq!(parse(text, decimals), expected, "{text} at {decimals}");
        }
        assert_eq!(parse_exact("0.05", 3), Ok(50));
        assert_eq!(parse_exact("0.0505", 3), Err(NotDecimal::Inexact));
        assert_eq!(parse_exact("0.0500", 3), Ok(50));
    }

    proptest! {
        #[test]
        fn a_value_is_read_back_from_its_text(value in any::<i64>(), decimals in 0_u8..=18) {
            let text = to_text(value, decimals);
            prop_assert_eq!(parse_exact(&text, decimals), Ok(value), "{}", text);
        }

        #[test]
        fn a_json_number_keeps_what_fits_it(
            value in -999_999_999_999_999_i64..=999_999_999_999_999,
            decimals in 0_u8..=18,
        ) {
            let number: serde_json::Value = serde_json::from_str(&to_text(value, decimals)).unwrap();
            let canonical = crate::json::write(&number);
            let text = std::str::from_utf8(&canonical).unwrap();
            prop_assert_eq!(parse(text, decimals), Ok(value), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,40}", decimals in any::<u8>()) {
            let _either = parse(&text, decimals);
        }
    }
}
