//! What nodes say of themselves, and what steps ask of it.

use std::fmt;

use althing_types as core;

use super::mirror::mirror;
use super::text::NameText;

mirror! {
    /// Something that a node says of itself; nobody checks it.
    Label = core::Label {
        /// What it is about, such as `region`.
        name: NameText,
        /// What it says.
        value: NameText,
    }

    /// What a label must say.
    LabelCondition = core::LabelCondition {
        /// Which label.
        name: NameText,
        /// One of these, ascending.
        values: Vec<NameText>,
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl fmt::Display for LabelCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(ToString::to_string).collect();
        write!(f, "{}={}", self.name, values.join("|"))
    }
}
