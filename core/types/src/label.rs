//! Labels: what a node says of itself, and what a step asks of the nodes that may be drawn for it.
//!
//! ```text
//!   Offer { labels: region=eu, gpu=yes }     a node, with each offer
//!   StepPlan { labels: region in [eu, us] }  a step; all its conditions must hold
//! ```
//!
//! - Shapes: names and values are [`Name`]s; a list is strictly ascending, so that it has one form.
//! - Invariant: nobody checks a label. It says what a node's operator claims, under its signature.

use alloc::vec::Vec;
use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Name;

/// Most labels of an offer, and most conditions of a step.
pub const LABELS_MAX: usize = 8;
/// Most bytes that the names and values of an offer's labels have together: each is part of every
/// list of candidates.
pub const LABEL_BYTES_MAX: usize = 256;
/// Most values of which a condition accepts one.
pub const LABEL_VALUES_MAX: usize = 16;

/// Something that a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Label {
    /// What it is about, such as `region`; unique within an offer.
    pub name: Name,
    /// What it says.
    pub value: Name,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// What a label must say.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LabelCondition {
    /// Which label; unique within a step.
    pub name: Name,
    /// One of these, ascending.
    pub values: Vec<Name>,
}

impl LabelCondition {
    /// Whether one of the labels is what is asked for. A node without the label is not.
    #[must_use]
    pub fn holds(&self, labels: &[Label]) -> bool {
        labels.iter().any(|label| label.name == self.name && self.values.contains(&label.value))
    }
}

/// Whether an offer may have these labels.
#[must_use]
pub fn are_labels(labels: &[Label]) -> bool {
    let bytes =
        |label: &Label| label.name.as_str().len().saturating_add(label.value.as_str().len());
    labels.len() <= LABELS_MAX
        && labels.iter().map(|label| &label.name).is_sorted_by(|a, b| a < b)
        && labels.iter().fold(0, |sum: usize, label| sum.saturating_add(bytes(label)))
            <= LABEL_BYTES_MAX
}

/// Whether a step may ask for this.
#[must_use]
pub fn are_label_conditions(conditions: &[LabelCondition]) -> bool {
    let fits = |condition: &LabelCondition| {
        (1..=LABEL_VALUES_MAX).contains(&condition.values.len())
            && condition.values.is_sorted_by(|a, b| a < b)
    };
    conditions.len() <= LABELS_MAX
        && conditions.iter().map(|condition| &condition.name).is_sorted_by(|a, b| a < b)
        && conditions.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    fn label(name: &str, value: &str) -> Label {
        Label { name: name.parse().unwrap(), value: value.parse().unwrap() }
    }

    fn one_of(name: &str, values: &[&str]) -> LabelCondition {
        let values = values.iter().map(|value| value.parse().unwrap()).collect();
        LabelCondition { name: name.parse().unwrap(), values }
    }

    #[test]
    fn a_condition_holds_for_one_of_its_values_and_not_for_a_missing_label() {
        let labels = [label("gpu", "yes"), label("region", "eu")];
        assert!(one_of("region", &["eu"]).holds(&labels));
        assert!(one_of("region", &["ap", "eu"]).holds(&labels));
        assert!(!one_of("region", &["us"]).holds(&labels));
        assert!(!one_of("zone", &["eu"]).holds(&labels));
    }

    #[test]
    fn labels_have_one_order_one_value_for_each_name_and_a_bound() {
        assert!(are_labels(&[]));
        assert!(are_labels(&[label("gpu", "yes"), label("region", "eu")]));
        assert!(!are_labels(&[label("region", "eu"), label("gpu", "yes")]));
        assert!(!are_labels(&[label("region", "eu"), label("region", "us")]));
        let many: Vec<Label> = (0..=LABELS_MAX).map(|n| label(&format!("l{n}"), "x")).collect();
        assert!(are_labels(&many[1..]) && !are_labels(&many));
        let long = "v".repeat(63);
        let large: Vec<Label> = (0..5).map(|n| label(&format!("l{n}"), &long)).collect();
        assert!(are_labels(&large[..3]) && !are_labels(&large));
    }

    #[test]
    fn conditions_have_one_order_and_at_least_one_value() {
        assert!(are_label_conditions(&[one_of("gpu", &["yes"]), one_of("region", &["eu", "us"])]));
        for bad in [
            vec![one_of("region", &[])],
            vec![one_of("region", &["us", "eu"])],
            vec![one_of("region", &["eu", "eu"])],
            vec![one_of("region", &["eu"]), one_of("gpu", &["yes"])],
            vec![one_of("region", &["eu"]), one_of("region", &["us"])],
        ] {
            assert!(!are_label_conditions(&bad), "{bad:?}");
        }
    }
}
