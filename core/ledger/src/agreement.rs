//! What emitters agree on: pure arithmetic over their observations.
//!
//! ```text
//!   observations ─equal keys and data─► groups ─lower median of each measure─► who is within tolerance
//!                                                                  agreeing ÷ office ─► valid?
//! ```
//!
//! - Units: measured values in units of their last decimal.
//! - Invariants: the order of observations decides nothing but ties; no value overflows; an emitter
//!   that contradicts in one field contradicts.
//! - Source: paper B §3.1; `docs/adr/0008-applications-on-the-ledger.md`.

use alloc::vec::Vec;

use althing_types::MeasuredTerms;

use crate::event::{EventState, Observation};

/// What a group of observations comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Which of the event's statements.
    pub statement: u16,
    /// The group's value of each measured field.
    pub measured: Vec<i64>,
    /// How many observations agree with it.
    pub agreeing: usize,
}

/// The statement that most observations agree with; of equally many, the one that was first.
#[must_use]
pub fn strongest(terms: &[MeasuredTerms], observations: &[Observation]) -> Option<Agreement> {
    let last = observations.iter().map(|observation| observation.statement).max()?;
    let mut strongest: Option<Agreement> = None;
    for statement in 0..=last {
        let Some(measured) = medians(terms.len(), observations, statement) else { continue };
        let agreeing =
            observations.iter().filter(|o| agrees(terms, statement, &measured, o)).count();
        if strongest.as_ref().is_none_or(|found| found.agreeing < agreeing) {
            strongest = Some(Agreement { statement, measured, agreeing });
        }
    }
    strongest
}

/// Whether an observation says this: the same keys and data, and each value within its tolerance.
#[must_use]
pub fn agrees(
    terms: &[MeasuredTerms],
    statement: u16,
    measured: &[i64],
    observation: &Observation,
) -> bool {
    let within = |((terms, agreed), value): ((&MeasuredTerms, &i64), &i64)| {
        terms.tolerance.is_none_or(|tolerance| agreed.abs_diff(*value) <= tolerance)
    };
    observation.statement == statement
        && terms.iter().zip(measured).zip(&observation.measured).all(within)
}

/// The lower median: the largest value that at least half of the values reach.
#[must_use]
pub fn lower_median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)?.checked_div(2)?;
    values.get(middle).copied()
}

/// The median of each measured field over the observations of a statement; `None` if there are none.
pub(crate) fn medians(
    fields: usize,
    observations: &[Observation],
    statement: u16,
) -> Option<Vec<i64>> {
    let group = || observations.iter().filter(|o| o.statement == statement);
    group().next()?;
    (0..fields)
        .map(|field| lower_median(group().filter_map(|o| o.measured.get(field).copied()).collect()))
        .collect()
}

/// Whether an event is valid before its window ends: more than half of those in office agree.
#[must_use]
pub const fn is_decided(office: usize, agreeing: usize) -> bool {
    agreeing.saturating_mul(2) > office
}

/// How an undecided event ends with its window.
#[must_use]
pub const fn at_the_end(office: usize, took_part: usize, agreeing: usize) -> EventState {
    if took_part.saturating_mul(2) <= office {
        EventState::Expired
    } else if agreeing.saturating_mul(2) > took_part {
        EventState::Valid
    } else {
        EventState::Contradicted
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use althing_types::{Address, TimeMs};

    use super::*;

    const HUNDREDTHS: MeasuredTerms = MeasuredTerms { decimals: 2, tolerance: Some(5) };

    fn says(statement: u16, measured: &[i64]) -> Observation {
        Observation::new(Address::ZERO, TimeMs(0), statement, measured.to_vec())
    }

    #[test]
    fn the_lower_median_is_a_value_that_somebody_measured() {
        let table: [(&[i64], Option<i64>); 5] = [
            (&[], None),
            (&[7], Some(7)),
            (&[9, 1], Some(1)),
            (&[3, 1, 2], Some(2)),
            (&[i64::MAX, i64::MIN, 0, 5], Some(0)),
        ];
        for (values, expected) in table {
            assert_eq!(lower_median(values.to_vec()), expected, "{values:?}");
        }
    }

    #[test]
    fn who_is_beyond_the_tolerance_contradicts() {
        let observations =
            [says(0, &[1_000]), says(0, &[1_001]), says(0, &[1_080]), says(0, &[996])];
        let found = strongest(&[HUNDREDTHS], &observations);
        assert_eq!(
            found,
            Some(Agreement { statement: 0, measured: vec![1_000], agreeing: 3 }),
            "the drift moves the median by a rank, not by its size"
        );
    }

    #[test]
    fn without_a_tolerance_every_value_is_accepted() {
        let median = MeasuredTerms { decimals: 0, tolerance: None };
        let observations = [says(0, &[i64::MIN]), says(0, &[i64::MAX]), says(0, &[3])];
        let found = strongest(&[median], &observations).unwrap();
        assert_eq!((found.measured, found.agreeing), (vec![3], 3));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let observations = [says(0, &[i64::MIN]), says(0, &[i64::MAX])];
        let found = strongest(&[HUNDREDTHS], &observations).unwrap();
        assert_eq!((found.measured, found.agreeing), (vec![i64::MIN], 1));
    }

    #[test]
    fn the_larger_group_wins_and_of_equal_ones_the_first() {
        let two_against_one = [says(0, &[]), says(1, &[]), says(1, &[])];
        assert_eq!(strongest(&[], &two_against_one).unwrap().statement, 1);
        let one_each = [says(0, &[]), says(1, &[])];
        assert_eq!(strongest(&[], &one_each).unwrap().statement, 0);
    }

    #[test]
    fn a_group_that_scatters_is_weaker_than_a_smaller_one_that_agrees() {
        let observations =
            [says(0, &[0]), says(0, &[100]), says(0, &[200]), says(1, &[50]), says(1, &[51])];
        let found = strongest(&[HUNDREDTHS], &observations).unwrap();
        assert_eq!((found.statement, found.agreeing), (1, 2));
    }

    #[test]
    fn half_is_no_majority() {
        assert!(!is_decided(4, 2));
        assert!(is_decided(5, 3));
        assert!(is_decided(1, 1));
        let table = [
            ((4, 2, 2), EventState::Expired),
            ((4, 3, 2), EventState::Valid),
            ((5, 4, 2), EventState::Contradicted),
            ((5, 5, 2), EventState::Contradicted),
            ((3, 2, 1), EventState::Contradicted),
        ];
        for ((office, took_part, agreeing), expected) in table {
            assert_eq!(at_the_end(office, took_part, agreeing), expected);
        }
    }
}
