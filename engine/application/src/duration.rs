//! Durations as ISO 8601 writes them: `PT10S`, `P7D`.

/// Longest duration: ten years.
pub const DURATION_MS_MAX: u64 = 10 * 366 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// Reads weeks, days, hours, minutes and seconds, these with up to three decimals, into milliseconds.
///
/// Months and years have no fixed length and are refused, and so are nothing and what is longer
/// than [`DURATION_MS_MAX`].
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let units = [('W', 7 * DAY_MS), ('D', DAY_MS)];
    let mut total = sum(days, &units)?;
    total = total.checked_add(sum(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)])?)?;
    (1..=DURATION_MS_MAX).contains(&total).then_some(total)
}

/// Numbers, each with a unit; every unit at most once, larger ones first.
fn sum(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut units = units.iter();
    let mut total = 0_u64;
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at_checked(end)?;
        let mut rest = rest.chars();
        let unit = rest.next()?;
        let (_, unit_ms) = units.find(|(known, _)| *known == unit)?;
        total = total.checked_add(scaled(number, *unit_ms, unit == 'S')?)?;
        text = rest.as_str();
    }
    Some(total)
}

fn scaled(number: &str, unit_ms: u64, decimals: bool) -> Option<u64> {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if decimals && (1..=3).contains(&fraction.len()) => {
            (whole, fraction)
        }
        Some(_) => return None,
        None => (number, ""),
    };
    let whole: u64 = whole.parse().ok()?;
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(unit_ms)?.checked_add(thousandths)
}

/// Writes milliseconds in the shortest of these forms.
#[must_use]
pub fn format(ms: u64) -> String {
    let (days, ms) = (ms / DAY_MS, ms % DAY_MS);
    let (hours, ms) = (ms / 3_600_000, ms % 3_600_000);
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let mut text = String::from("P");
    let mut push = |number: u64, unit: char| {
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    };
    push(days, 'D');
    let mut time = String::new();
    for (number, unit) in [(hours, 'H'), (minutes, 'M')] {
        if number > 0 {
            time.push_str(&format!("{number}{unit}"));
        }
    }
    if ms > 0 {
        time.push_str(&format!("{seconds}.{ms:03}S"));
    } else if seconds > 0 {
        time.push_str(&format!("{seconds}S"));
    }
    if !time.is_empty() {
        text.push('T');
        text.push_str(&time);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_of_fixed_length_are_read() {
        for (text, ms) in [
            ("PT10S", 10_000),
            ("P7D", 7 * DAY_MS),
            ("P1W", 7 * DAY_MS),
            ("PT1H30M", 5_400_000),
            ("P1DT0.5S", DAY_MS + 500),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_has_no_fixed_length_or_no_meaning_is_refused() {
        for text in [
            "",
            "P",
            "PT",
            "7D",
            "P7",
            "P1M",
            "P1Y",
            "PT0S",
            "P1H",
            "PT1S1M",
            "P-1D",
            "PT1.5M",
            "PT1.2345S",
            "P99999D",
            "P99999999999999999999D",
            "p7d",
            "P7D ",
            "PT1S1S",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_what_it_prints(ms in 1..=DURATION_MS_MAX) {
            prop_assert_eq!(parse(&format(ms)), Some(ms));
        }

        #[test]
        fn no_text_is_too_much(text in "[PT0-9.WDHMS]{0,40}") {
            let _ = parse(&text);
        }
    }
}
