//! What is wrong with a file: where, why, and what to do about it.
//!
//! Each format has its own kinds of mistakes, and every format has those of a service's manifest.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

/// Most mistakes that are told at once.
pub const MISTAKES_MAX: usize = 20;

/// What a format calls its kinds of mistakes.
pub trait Kind: Copy + fmt::Debug + From<MistakeKind> + 'static {
    /// The page in `docs/errors`.
    fn code(self) -> &'static str;

    /// Whether the file may be used in spite of it.
    fn is_warning(self) -> bool {
        false
    }
}

impl Kind for MistakeKind {
    fn code(self) -> &'static str {
        self.code()
    }
}

/// Kinds of mistakes; each has a page in `docs/errors`.
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
    /// No name or alias.
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
    /// An event's key that its data does not have.
    EventKey,
    /// The file is too long.
    TooLong,
    /// A path that leads out of the folder.
    Path,
    /// Prices that contradict the verification.
    Price,
    /// An event's property that cannot be agreed on as it says.
    Agreement,
}

impl MistakeKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
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
        Self::EventKey,
        Self::TooLong,
        Self::Path,
        Self::Price,
        Self::Agreement,
    ];

    /// The page in `docs/errors`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "MAN-0001",
            Self::UnknownKey => "MAN-0002",
            Self::MissingKey => "MAN-0003",
            Self::WrongType => "MAN-0004",
            Self::Name => "MAN-0005",
            Self::Amount => "MAN-0006",
            Self::Limit => "MAN-0007",
            Self::Word => "MAN-0008",
            Self::Count => "MAN-0009",
            Self::Schema => "MAN-0010",
            Self::EventKey => "MAN-0011",
            Self::TooLong => "MAN-0012",
            Self::Path => "MAN-0013",
            Self::Price => "MAN-0014",
            Self::Agreement => "MAN-0015",
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake<K = MistakeKind> {
    /// Its kind.
    pub kind: K,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Said at the place itself.
    pub label: String,
    /// The place, in bytes of the file.
    pub at: Range<usize>,
}

impl<K> fmt::Display for Mistake<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<K: fmt::Debug> std::error::Error for Mistake<K> {}

impl<K: Kind> Diagnostic for Mistake<K> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.kind.code()))
    }

    fn severity(&self) -> Option<Severity> {
        self.kind.is_warning().then_some(Severity::Warning)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.hint))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::at(self.at.clone(), &self.label);
        Some(Box::new(std::iter::once(label)))
    }
}

/// Everything that is wrong with a file; at least one mistake.
///
/// As a diagnostic it is the first mistake, with the others related to it.
#[derive(Debug)]
pub struct Mistakes<K = MistakeKind> {
    source: Box<NamedSource<String>>,
    first: Box<Mistake<K>>,
    others: Vec<Mistake<K>>,
}

impl<K> Mistakes<K> {
    /// What is wrong with the `text` of `file`.
    #[must_use]
    pub fn new(file: &str, text: &str, first: Mistake<K>, others: Vec<Mistake<K>>) -> Self {
        // A label may not reach beyond the text.
        let within = |mut mistake: Mistake<K>| {
            mistake.at.end = mistake.at.end.min(text.len());
            mistake.at.start = mistake.at.start.min(mistake.at.end);
            mistake
        };
        Self {
            source: Box::new(NamedSource::new(file, text.to_owned())),
            first: Box::new(within(first)),
            others: others.into_iter().map(within).collect(),
        }
    }

    /// In the order of the file's reading.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake<K>> {
        std::iter::once(&*self.first).chain(&self.others)
    }

    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Line and column of a mistake, both from 1 on, as they are shown to people.
    #[must_use]
    pub fn place(&self, mistake: &Mistake<K>) -> (usize, usize) {
        let before = self.source.inner().get(..mistake.at.start).unwrap_or_default();
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl<K> fmt::Display for Mistakes<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)
    }
}

impl<K: fmt::Debug> std::error::Error for Mistakes<K> {}

impl<K: Kind> Diagnostic for Mistakes<K> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.first.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.first.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.first.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.first.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.others.is_empty() {
            return None;
        }
        Some(Box::new(self.others.iter().map(|mistake| mistake as &dyn Diagnostic)))
    }
}
