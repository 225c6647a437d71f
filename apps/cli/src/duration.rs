//! How long: `30d`, `12h`, `90m`, `45s`, `500ms`.

use std::fmt;
use std::str::FromStr;

/// A length of time as people write it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) ms: u64,
}

/// From the longest: `ms` has to be looked for before `s`, which it ends in.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1_000)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time; write it like 30d, 12h, 90m or 45s");
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .ok_or_else(wrong)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let ms = number.checked_mul(unit).ok_or_else(wrong)?;
        Ok(Self { ms })
    }
}

impl fmt::Display for Span {
    /// In the largest unit that leaves no rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().filter(|(_, unit)| self.ms.is_multiple_of(*unit));
        let (suffix, unit) = exact.max_by_key(|(_, unit)| *unit).expect("one divides everything");
        write!(f, "{}{suffix}", self.ms / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_back_what_it_prints() {
        for (text, ms) in [
            ("30d", 2_592_000_000),
            ("12h", 43_200_000),
            ("90m", 5_400_000),
            ("45s", 45_000),
            ("500ms", 500),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.ms, span.to_string().as_str()), (ms, text));
        }
        assert_eq!("120m".parse::<Span>().unwrap().to_string(), "2h");
    }

    #[test]
    fn texts_that_are_no_spans_are_refused() {
        for text in
            ["", "d", "30", "-1d", "1.5h", "30 d", "1w", "99999999999999999999d", "300000000000d"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
