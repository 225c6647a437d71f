//! Reads values in which there may be expressions.

use std::ops::Range;

use althing_manifest::document::{Content, Node, place};
use serde_json::{Map, Value as Json};

use super::{Entries, FileReader};
use crate::expression::Unreadable;
use crate::file::Placed;
use crate::mistake::MistakeKind;
use crate::template::{Template, TemplateKind, parse_text};

impl FileReader<'_> {
    /// Names and values in which there may be expressions.
    pub(super) fn entries(
        &mut self,
        node: &Node,
        at: Range<usize>,
        what: &'static str,
    ) -> Option<Entries> {
        let fields = self.reader.mapping(node, at, what)?;
        let entries: Vec<_> = fields
            .entries()
            .iter()
            .map(|(key, node)| {
                Some((Placed { value: key.value.clone(), at: place(key) }, self.template(node)?))
            })
            .collect();
        entries.into_iter().collect()
    }

    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        let at = place(node);
        let kind = match &node.value {
            Content::Null | Content::Bool(_) | Content::Number(_) => match node.value.to_json() {
                Ok(json) => TemplateKind::Literal(json),
                Err(number) => {
                    self.mistake(
                        MistakeKind::Limit,
                        at,
                        "too many digits",
                        format!("the number {number} loses digits in JSON"),
                        "write numbers beyond 2^53 in quotes",
                    );
                    return None;
                }
            },
            Content::Text(text) => match parse_text(text) {
                Ok(kind) => kind,
                Err(error) => {
                    self.unreadable(at, text, error);
                    return None;
                }
            },
            Content::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.template(item)).collect();
                list_of(items.into_iter().collect::<Option<_>>()?)
            }
            Content::Map(entries) => {
                if let [(key, value)] = entries.as_slice()
                    && key.value == "secret"
                {
                    return self.secret(value, place(key)).map(|kind| Template { at, kind });
                }
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, node)| Some((key.value.clone(), self.template(node)?)))
                    .collect();
                map_of(entries.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(Template { at, kind })
    }

    /// The name of a secret, where a secret may stand.
    fn secret(&mut self, node: &Node, at: Range<usize>) -> Option<TemplateKind> {
        if !self.in_with {
            self.mistake(
                MistakeKind::Rule,
                at,
                "not here",
                "a secret is given to the task of a step and to nothing else",
                "write `{ secret: name }` as a value under a step's `with`",
            );
            return None;
        }
        let text = self.reader.text(node, "secret")?;
        Some(TemplateKind::Secret(self.name(text, place(node))?))
    }

    pub(super) fn unreadable(&mut self, at: Range<usize>, text: &str, error: Unreadable) {
        let at = place_within(self.text, &at, text, error.at);
        self.mistake(MistakeKind::Expression, at, "here", error.reason, error.hint);
    }
}

/// The place of a byte of a text in its file, if the text stands there as it is.
pub(crate) fn place_within(file: &str, at: &Range<usize>, text: &str, byte: usize) -> Range<usize> {
    let written = file.get(at.clone()).unwrap_or_default();
    match written.find(text) {
        Some(start) if !text.is_empty() => {
            let start = at.start + start + byte;
            start..start + usize::from(byte < text.len())
        }
        _ => at.clone(),
    }
}

/// A list; plain if nothing in it is an expression.
pub(crate) fn list_of(items: Vec<Template>) -> TemplateKind {
    let literals: Option<Vec<Json>> = items.iter().map(literal).collect();
    literals.map_or(TemplateKind::List(items), |items| TemplateKind::Literal(items.into()))
}

/// A mapping; plain if nothing in it is an expression.
pub(crate) fn map_of(entries: Vec<(String, Template)>) -> TemplateKind {
    let literals: Option<Map<String, Json>> =
        entries.iter().map(|(key, template)| Some((key.clone(), literal(template)?))).collect();
    match literals {
        Some(map) => TemplateKind::Literal(Json::Object(map)),
        None => {
            let mut entries = entries;
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            TemplateKind::Map(entries)
        }
    }
}

pub(super) fn literal(template: &Template) -> Option<Json> {
    match &template.kind {
        TemplateKind::Literal(json) => Some(json.clone()),
        TemplateKind::Expression(_)
        | TemplateKind::Text(_)
        | TemplateKind::List(_)
        | TemplateKind::Map(_)
        | TemplateKind::Secret(_) => None,
    }
}
