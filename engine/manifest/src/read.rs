//! Reads a file that is written in YAML: every mistake is told, with its place and what to do about it.

use std::ops::Range;

use serde_saphyr::Spanned;

use crate::document::{self, Content, Node, place};
use crate::mistake::{Kind, MISTAKES_MAX, Mistake, MistakeKind, Mistakes};

/// What has been read so far, and what was wrong with it.
#[derive(Debug)]
pub struct Reader<'t, K = MistakeKind> {
    text: &'t str,
    mistakes: Vec<Mistake<K>>,
}

/// The entries of a mapping, and where the mapping stands.
#[derive(Debug)]
pub struct Fields<'n> {
    entries: &'n [(Spanned<String>, Node)],
    /// For what is missing.
    pub at: Range<usize>,
    /// For messages: `a task`.
    pub what: &'static str,
}

impl<'n> Fields<'n> {
    /// The value under `key`, with the key's place.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<(&'n Node, Range<usize>)> {
        let (key, node) = self.entries.iter().find(|(found, _)| found.value == key)?;
        Some((node, place(key)))
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &'n [(Spanned<String>, Node)] {
        self.entries
    }
}

impl<'t, K: Kind> Reader<'t, K> {
    /// Begins to read `text`.
    #[must_use]
    pub const fn new(text: &'t str) -> Self {
        Self { text, mistakes: Vec::new() }
    }

    /// What is wrong, if anything is.
    ///
    /// # Errors
    ///
    /// [`Mistakes`] if there are any.
    pub fn finish(mut self, file: &str) -> Result<(), Mistakes<K>> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        let first = self.mistakes.remove(0);
        Err(Mistakes::new(file, self.text, first, self.mistakes))
    }

    /// The document as a tree; `None` if it is no YAML.
    pub fn parse(&mut self) -> Option<Node> {
        match document::parse(self.text) {
            Ok(node) => Some(node),
            Err(error) => {
                self.mistake(
                    MistakeKind::Syntax,
                    error.at,
                    "here",
                    error.reason,
                    "YAML is indented by spaces; texts with ': ' or ' #' in them want quotes",
                );
                None
            }
        }
    }

    /// Notes a mistake; beyond a number of them the rest goes untold.
    pub fn mistake(
        &mut self,
        kind: impl Into<K>,
        at: Range<usize>,
        label: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if self.mistakes.len() < MISTAKES_MAX {
            let (message, hint, label) = (message.into(), hint.into(), label.into());
            self.mistakes.push(Mistake { kind: kind.into(), message, hint, label, at });
        }
    }

    /// A mapping whose keys are all among `known`.
    pub fn fields<'n>(
        &mut self,
        node: &'n Node,
        at: Range<usize>,
        what: &'static str,
        known: &[&str],
    ) -> Option<Fields<'n>> {
        let fields = self.mapping(node, at, what)?;
        for (key, _) in fields.entries {
            if !known.contains(&key.value.as_str()) {
                self.mistake(
                    MistakeKind::UnknownKey,
                    place(key),
                    "unknown",
                    format!("{what} has no key '{}'", key.value),
                    choose(&key.value, known),
                );
            }
        }
        Some(fields)
    }

    /// A mapping with any keys.
    pub fn mapping<'n>(
        &mut self,
        node: &'n Node,
        at: Range<usize>,
        what: &'static str,
    ) -> Option<Fields<'n>> {
        match &node.value {
            Content::Map(entries) => Some(Fields { entries, at, what }),
            Content::Null => Some(Fields { entries: &[], at, what }),
            Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::List(_) => {
                self.wrong_type(
                    node,
                    what,
                    "a mapping",
                    "write `key: value` lines, indented below",
                );
                None
            }
        }
    }

    /// A key that must be there.
    pub fn required<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &str,
        hint: &str,
    ) -> Option<(&'n Node, Range<usize>)> {
        let found = fields.find(key);
        if found.is_none() {
            self.mistake(
                MistakeKind::MissingKey,
                fields.at.clone(),
                format!("'{key}' is missing in here"),
                format!("{} needs the key '{key}'", fields.what),
                hint,
            );
        }
        found
    }

    /// Notes that something else is expected.
    pub fn wrong_type(&mut self, node: &Node, what: &str, expected: &str, hint: &str) {
        self.mistake(
            MistakeKind::WrongType,
            place(node),
            format!("{expected} is expected"),
            format!("{what} is {}, but {expected} is expected", node.value.kind()),
            hint,
        );
    }

    /// Text, as it is.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if let Content::Text(text) = &node.value {
            return Some(text);
        }
        self.wrong_type(node, what, "text", "put it into quotes to make it text");
        None
    }

    /// Text or a number, exactly as it is written.
    pub fn written(&mut self, node: &Node, what: &str, hint: &str) -> Option<String> {
        match &node.value {
            Content::Text(text) => Some(text.clone()),
            Content::Number(_) => self.text.get(place(node)).map(|text| text.trim().to_owned()),
            Content::Null | Content::Bool(_) | Content::List(_) | Content::Map(_) => {
                self.wrong_type(node, what, "text or a number", hint);
                None
            }
        }
    }

    /// One of the `words`.
    pub fn word(&mut self, node: &Node, what: &str, words: &[&str]) -> Option<usize> {
        let text = self.text(node, what)?;
        let found = words.iter().position(|word| *word == text);
        if found.is_none() {
            self.mistake(
                MistakeKind::Word,
                place(node),
                "unknown",
                format!("{what} cannot be '{text}'"),
                choose(text, words),
            );
        }
        found
    }

    /// A whole number from 1 to `max`.
    pub fn limit(&mut self, node: &Node, what: &str, max: u64) -> Option<u64> {
        let number = match &node.value {
            Content::Number(number) => number.as_u64(),
            Content::Null
            | Content::Bool(_)
            | Content::Text(_)
            | Content::List(_)
            | Content::Map(_) => {
                self.wrong_type(
                    node,
                    what,
                    "a whole number",
                    "write digits only, without units or separators",
                );
                return None;
            }
        };
        let within = number.filter(|number| (1..=max).contains(number));
        if within.is_none() {
            self.mistake(
                MistakeKind::Limit,
                place(node),
                "out of range",
                format!("{what} is out of range"),
                format!("write a whole number from 1 to {max}"),
            );
        }
        within
    }
}

/// Names the nearest of the `known` words, or all of them.
#[must_use]
pub fn choose(word: &str, known: &[&str]) -> String {
    let distance = |candidate: &&&str| strsim::damerau_levenshtein(word, candidate);
    let nearest = known.iter().min_by_key(distance);
    match nearest {
        // A third of the letters may be wrong.
        Some(nearest) if distance(&nearest) * 3 <= nearest.len().max(3) => {
            format!("did you mean '{nearest}'?")
        }
        _ => format!("it may be one of: {}", known.join(", ")),
    }
}
