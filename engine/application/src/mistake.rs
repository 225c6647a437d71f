//! Kinds of mistakes in an application file; each has a page in `docs/errors`.

use althing_manifest::{Kind, MistakeKind as FileMistake};

/// What is wrong with an application file.
pub type Mistakes = althing_manifest::Mistakes<MistakeKind>;
/// One mistake.
pub type Mistake = althing_manifest::Mistake<MistakeKind>;

/// Kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MistakeKind {
    /// The text is no YAML.
    Syntax,
    /// A key that means nothing here.
    UnknownKey,
    /// A key that must be there.
    MissingKey,
    /// Text where a number is expected, and so on.
    WrongType,
    /// No name, or one that is taken.
    Name,
    /// No amount of tokens.
    Amount,
    /// Zero or beyond what a node allows.
    Limit,
    /// Not one of the words that are expected.
    Word,
    /// None or too many of something.
    Count,
    /// A JSON Schema that is wrong or that a node refuses to compile.
    Schema,
    /// The file or its document is too long.
    TooLong,
    /// No duration.
    Duration,
    /// An expression that cannot be read.
    Expression,
    /// A service or application that nobody has published.
    UnknownService,
    /// An alias, event or task that is not there.
    UnknownName,
    /// A step that is not there or not above.
    UnknownStep,
    /// A status with which a step never ends.
    UnknownStatus,
    /// One of the three rules is broken.
    Rule,
    /// A key by which the event is not found.
    UnknownKeyOfEvent,
    /// A key whose value nobody knows when it is needed.
    Unknowable,
    /// A variable or property that is not there.
    UnknownVariable,
    /// A value of the wrong type, or an input that is missing.
    Input,
    /// A configured value that is missing or does not fit.
    Config,
    /// What the file format has and nodes do not do yet.
    Unsupported,
    /// A step that is never reached.
    Unreachable,
    /// Warning: a status that nobody handles.
    Unhandled,
    /// Checkers for a task that nobody can check.
    Uncheckable,
    /// A secret where others than the named executors would be given it.
    Secret,
}

impl MistakeKind {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::Syntax,
        Self::UnknownKey,
        Self::MissingKey,
        Self::WrongType,
        Self::Name,
        Self::Amount,
        Self::Limit,
        Self::Word,
        Self::Count,
        Self::Schema,
        Self::TooLong,
        Self::Duration,
        Self::Expression,
        Self::UnknownService,
        Self::UnknownName,
        Self::UnknownStep,
        Self::UnknownStatus,
        Self::Rule,
        Self::UnknownKeyOfEvent,
        Self::Unknowable,
        Self::UnknownVariable,
        Self::Input,
        Self::Config,
        Self::Unsupported,
        Self::Unreachable,
        Self::Unhandled,
        Self::Uncheckable,
        Self::Secret,
    ];
}

impl Kind for MistakeKind {
    fn code(self) -> &'static str {
        match self {
            Self::Syntax => "APP-0001",
            Self::UnknownKey => "APP-0002",
            Self::MissingKey => "APP-0003",
            Self::WrongType => "APP-0004",
            Self::Name => "APP-0005",
            Self::Amount => "APP-0006",
            Self::Limit => "APP-0007",
            Self::Word => "APP-0008",
            Self::Count => "APP-0009",
            Self::Schema => "APP-0010",
            Self::TooLong => "APP-0011",
            Self::Duration => "APP-0012",
            Self::Expression => "APP-0013",
            Self::UnknownService => "APP-0014",
            Self::UnknownName => "APP-0015",
            Self::UnknownStep => "APP-0016",
            Self::UnknownStatus => "APP-0017",
            Self::Rule => "APP-0018",
            Self::UnknownKeyOfEvent => "APP-0019",
            Self::Unknowable => "APP-0020",
            Self::UnknownVariable => "APP-0021",
            Self::Input => "APP-0022",
            Self::Config => "APP-0023",
            Self::Unsupported => "APP-0024",
            Self::Unreachable => "APP-0025",
            Self::Unhandled => "APP-0026",
            Self::Uncheckable => "APP-0027",
            Self::Secret => "APP-0028",
        }
    }

    fn is_warning(self) -> bool {
        self == Self::Unhandled
    }
}

impl From<FileMistake> for MistakeKind {
    fn from(kind: FileMistake) -> Self {
        match kind {
            FileMistake::Syntax => Self::Syntax,
            FileMistake::UnknownKey => Self::UnknownKey,
            FileMistake::MissingKey => Self::MissingKey,
            FileMistake::WrongType => Self::WrongType,
            FileMistake::Name => Self::Name,
            FileMistake::Amount => Self::Amount,
            FileMistake::Limit => Self::Limit,
            FileMistake::Word => Self::Word,
            FileMistake::Count => Self::Count,
            FileMistake::Schema => Self::Schema,
            FileMistake::TooLong => Self::TooLong,
            // These are of services alone: nothing here reads such a thing.
            FileMistake::EventKey
            | FileMistake::Path
            | FileMistake::Price
            | FileMistake::Agreement => Self::WrongType,
        }
    }
}
