//! Decimal numbers as integers.

/// Most digits after the point.
const SCALE: u32 = 6;
/// Most digits before the point: products of two numbers stay far below 2^127.
const WHOLE_DIGITS_MAX: usize = 12;
const UNITS_PER_ONE: i128 = 10_i128.pow(SCALE);
/// What divides a product of two numbers into hundredths.
const PRODUCT_PER_HUNDREDTH: i128 = UNITS_PER_ONE * UNITS_PER_ONE / 100;

/// Reads `-12.5` as millionths, if it is a plain decimal number in range.
pub fn parse(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, decimals) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > WHOLE_DIGITS_MAX
        || decimals.len() > SCALE as usize
        || !are_digits(whole)
        || !are_digits(decimals)
    {
        return None;
    }
    let padded = format!("{whole}{decimals:0<width$}", width = SCALE as usize);
    padded.parse::<i128>().ok().map(|units| sign * units)
}

/// The product of two numbers in millionths, in hundredths: halves are rounded away from zero.
pub fn multiply(a: i128, b: i128) -> i128 {
    let product = a * b;
    let half = PRODUCT_PER_HUNDREDTH / 2 * product.signum();
    (product + half) / PRODUCT_PER_HUNDREDTH
}

/// Hundredths with two decimals.
pub fn print(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let size = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", size / 100, size % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_are_numbers() {
        assert_eq!(parse("12.5"), Some(12_500_000));
        assert_eq!(parse("-0.000001"), Some(-1));
        for text in
            ["", "-", ".5", "1.", "1e3", "+1", "1,5", "0.0000001", "1234567890123", " 1", "٣"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn products_are_rounded_to_hundredths_with_halves_away_from_zero() {
        let product = |a, b| print(multiply(parse(a).unwrap(), parse(b).unwrap()));
        assert_eq!(product("3", "4.20"), "12.60");
        assert_eq!(product("0.5", "0.01"), "0.01");
        assert_eq!(product("-0.5", "0.01"), "-0.01");
        assert_eq!(product("0.4", "0.01"), "0.00");
        assert_eq!(
            product("999999999999.999999", "999999999999.999999"),
            "999999999999999998000000.00"
        );
    }
}
