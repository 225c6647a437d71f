//! Moments as people read them.

use jiff::Timestamp;

/// Milliseconds since 1970 as `2026-11-20T17:14:43Z`.
pub(crate) fn moment(ms: u64) -> String {
    let whole = i64::try_from(ms / 1_000).ok();
    let stamp = whole.and_then(|seconds| Timestamp::from_second(seconds).ok());
    stamp.map_or_else(|| format!("{ms} ms"), |stamp| stamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_to_the_second_and_beyond_the_calendar_as_a_number() {
        assert_eq!(moment(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(moment(u64::MAX), "18446744073709551615 ms");
    }
}
