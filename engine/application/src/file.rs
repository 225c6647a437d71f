//! An application file, read: what was said, and where.

use std::fmt;
use std::ops::Range;

use althing_types::{Address, Amount, LabelCondition, Name};
use semver::{Version, VersionReq};
use serde_json::Value as Json;

use crate::expression::Expression;
use crate::mistake::Mistakes;
use crate::read::read;
use crate::template::Template;

/// Longest file in bytes.
pub const FILE_BYTES_MAX: usize = 256 << 10;
/// Most services that a file names.
pub const SERVICES_MAX: usize = 64;
/// Most values that are configured.
pub const CONFIG_MAX: usize = 64;

/// Something, and where it stands in its file, in bytes.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// What.
    pub value: T,
    /// Where.
    pub at: Range<usize>,
}

/// A file that can be read; whether its services agree with it is a matter of
/// [`check`](ApplicationFile::check).
#[derive(Clone, Debug)]
pub struct ApplicationFile {
    pub(crate) file: String,
    pub(crate) text: String,
    /// What people call it.
    pub app: Name,
    /// Its version.
    pub version: Version,
    /// One sentence for people.
    pub summary: String,
    /// Who may see it.
    pub visibility: FileVisibility,
    pub(crate) services: Vec<ServiceText>,
    pub(crate) config: Vec<(Placed<String>, Json)>,
    pub(crate) when: WhenText,
    pub(crate) steps: Vec<StepText>,
    pub(crate) returns: Vec<ReturnText>,
}

/// Who may see an application and its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileVisibility {
    /// Everybody; it can be used as a task.
    Public,
    /// Its owner and these, ascending.
    Private(Vec<Address>),
}

/// Names what a file uses: `namespace/name@range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whose.
    pub namespace: Name,
    /// Which.
    pub name: Name,
    /// Which of its versions.
    pub range: VersionReq,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.namespace, self.name, self.range)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceText {
    pub(crate) alias: String,
    pub(crate) reference: Placed<Reference>,
}

#[derive(Clone, Debug)]
pub(crate) enum WhenText {
    Event(EventText),
    /// Only used as a task, with inputs of this schema.
    Used(Json),
}

#[derive(Clone, Debug)]
pub(crate) struct EventText {
    /// `alias.event`.
    pub(crate) event: Placed<String>,
    pub(crate) keys: Vec<(Placed<String>, Template)>,
    pub(crate) condition: Option<Placed<Expression>>,
    pub(crate) timeout_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct StepText {
    pub(crate) id: Placed<Name>,
    pub(crate) action: Placed<String>,
    pub(crate) after: Option<AfterText>,
    pub(crate) wait: Option<EventText>,
    pub(crate) with: Vec<(Placed<String>, Template)>,
    /// Where `with` stands, or the step itself.
    pub(crate) with_at: Range<usize>,
    pub(crate) verify: Verify,
    pub(crate) retry_max: u16,
    pub(crate) backoff_ms: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) nodes: Vec<Address>,
    pub(crate) labels: Vec<LabelCondition>,
    pub(crate) price_max: Amount,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verify {
    pub(crate) checkers: u16,
    pub(crate) quorum: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct AfterText {
    pub(crate) is_any: bool,
    pub(crate) ends: Vec<Placed<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct ReturnText {
    pub(crate) name: Placed<Name>,
    pub(crate) from: Placed<String>,
    pub(crate) data: Vec<(Placed<String>, Template)>,
}

impl ApplicationFile {
    /// Reads the text of an application file; `file` is its name in messages.
    ///
    /// # Errors
    ///
    /// [`Mistakes`], each with its place, a code and a hint.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        read(file, text)
    }

    /// What it uses: an alias for each service or application.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Reference)> {
        self.services.iter().map(|service| (service.alias.as_str(), &service.reference.value))
    }

    /// What is to be configured: names, and the JSON Schema of each.
    pub fn config(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.config.iter().map(|(name, schema)| (name.value.as_str(), schema))
    }
}
