//! Values with expressions in them: what stands under `with`, `where` and `data`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use althing_types::Name;
use serde_json::Value as Json;

use crate::expression::{Expression, Failure, Meter, Unreadable, Value, Variables};

/// A value with expressions in it, and where it stands in its file.
#[derive(Clone, Debug)]
pub struct Template {
    /// Where, in bytes; nowhere in a document.
    pub at: Range<usize>,
    /// What.
    pub kind: TemplateKind,
}

/// What a template is.
#[derive(Clone, Debug)]
pub enum TemplateKind {
    /// A value without expressions.
    Literal(Json),
    /// `${ … }` alone: the value keeps its type.
    Expression(Expression),
    /// A text with expressions in it.
    Text(Vec<Part>),
    /// A list in which something is an expression.
    List(Vec<Template>),
    /// A mapping in which something is an expression.
    Map(Vec<(String, Template)>),
    /// `{ secret: name }`: a text that the application's home keeps, and whoever is drawn is given.
    Secret(Name),
}

/// A part of a text.
#[derive(Clone, Debug)]
pub enum Part {
    /// As it is.
    Text(String),
    /// The value as text.
    Expression(Expression),
}

/// Equal but for their places.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (TemplateKind::Literal(a), TemplateKind::Literal(b)) => a == b,
            (TemplateKind::Expression(a), TemplateKind::Expression(b)) => a.source() == b.source(),
            (TemplateKind::Text(a), TemplateKind::Text(b)) => a == b,
            (TemplateKind::List(a), TemplateKind::List(b)) => a == b,
            (TemplateKind::Map(a), TemplateKind::Map(b)) => a == b,
            (TemplateKind::Secret(a), TemplateKind::Secret(b)) => a == b,
            _ => false,
        }
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Expression(a), Self::Expression(b)) => a.source() == b.source(),
            _ => false,
        }
    }
}

impl Template {
    /// A template that is nowhere in a file.
    #[must_use]
    pub const fn of(kind: TemplateKind) -> Self {
        Self { at: 0..0, kind }
    }

    /// Its value.
    ///
    /// # Errors
    ///
    /// [`Failure`] if an expression in it has none.
    pub fn evaluate(&self, variables: &Variables, meter: &mut Meter) -> Result<Value, Failure> {
        Ok(match &self.kind {
            TemplateKind::Literal(json) => Value::from_json(json, None)?,
            TemplateKind::Expression(expression) => expression.evaluate(variables, meter)?,
            TemplateKind::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(part) => text.push_str(part),
                        Part::Expression(expression) => {
                            let value = expression.evaluate(variables, meter)?;
                            text.push_str(&value.to_text(meter)?);
                        }
                    }
                    meter.bytes(text.len())?;
                }
                Value::text(&text)
            }
            TemplateKind::List(items) => {
                let items = items.iter().map(|item| item.evaluate(variables, meter));
                Value::list(items.collect::<Result<_, _>>()?)
            }
            TemplateKind::Map(entries) => {
                let mut map = BTreeMap::new();
                for (key, template) in entries {
                    map.insert(Rc::from(key.as_str()), template.evaluate(variables, meter)?);
                }
                Value::Map(Rc::new(map))
            }
            TemplateKind::Secret(name) => Value::text(variables.secret(name)?),
        })
    }

    /// Calls `visit` for each expression in it.
    pub fn expressions<'t>(&'t self, visit: &mut impl FnMut(&'t Expression)) {
        match &self.kind {
            TemplateKind::Literal(_) => {}
            TemplateKind::Expression(expression) => visit(expression),
            TemplateKind::Text(parts) => {
                for part in parts {
                    if let Part::Expression(expression) = part {
                        visit(expression);
                    }
                }
            }
            TemplateKind::List(items) => items.iter().for_each(|item| item.expressions(visit)),
            TemplateKind::Map(entries) => {
                entries.iter().for_each(|(_, item)| item.expressions(visit));
            }
            TemplateKind::Secret(_) => {}
        }
    }

    /// The secrets that it asks for, ascending.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&Name> {
        match &self.kind {
            TemplateKind::Literal(_) | TemplateKind::Expression(_) | TemplateKind::Text(_) => {
                BTreeSet::new()
            }
            TemplateKind::List(items) => items.iter().flat_map(Self::secrets).collect(),
            TemplateKind::Map(entries) => {
                entries.iter().flat_map(|(_, item)| item.secrets()).collect()
            }
            TemplateKind::Secret(name) => BTreeSet::from([name]),
        }
    }
}

/// What a text of a file means: itself, one expression, or a text with expressions in it.
///
/// `$${` stands for `${`.
///
/// # Errors
///
/// [`Unreadable`] with its place in bytes of `text`.
pub fn parse_text(text: &str) -> Result<TemplateKind, Unreadable> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    let position = |rest: &str| text.len() - rest.len();
    while let Some(dollar) = rest.find("${") {
        let (before, from) = rest.split_at(dollar);
        if let Some(escaped) = before.strip_suffix('$') {
            plain.push_str(escaped);
            plain.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        }
        plain.push_str(before);
        let inner = from.get(2..).unwrap_or_default();
        let start = position(inner);
        let Some(end) = end_of_expression(inner) else {
            return Err(Unreadable {
                at: position(from),
                reason: "an expression begins here and does not end".into(),
                hint: "close it with '}', or write '$${' for the two characters".into(),
            });
        };
        let (source, after) = inner.split_at(end);
        let trimmed = source.trim_start();
        let indent = source.len() - trimmed.len();
        let expression = Expression::parse(trimmed.trim_end())
            .map_err(|error| Unreadable { at: start + indent + error.at, ..error })?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Expression(expression));
        rest = after.get(1..).unwrap_or_default();
    }
    plain.push_str(rest);
    if parts.is_empty() {
        return Ok(TemplateKind::Literal(plain.into()));
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    if let [Part::Expression(expression)] = parts.as_slice() {
        return Ok(TemplateKind::Expression(expression.clone()));
    }
    Ok(TemplateKind::Text(parts))
}

/// Where the closing brace is: not one inside of a text or of a mapping.
fn end_of_expression(source: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, byte) in source.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth == 0 => return Some(at),
            (None, b'}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &str) -> String {
        let template = Template::of(parse_text(template).unwrap());
        let mut variables = Variables::default();
        let event = serde_json::json!({ "kwh": 12.0, "price": "0.30", "id": 7, "ok": true });
        let decimals = ["/price"].into_iter().collect();
        variables.set("event", Value::from_json(&event, Some(&decimals)).unwrap());
        let mut meter = Meter::full();
        template.evaluate(&variables, &mut meter).unwrap().to_json(&mut meter).unwrap().to_string()
    }

    #[test]
    fn a_whole_expression_keeps_its_type_and_others_become_text() {
        assert_eq!(text("${ event.kwh }"), "12");
        assert_eq!(text("Charged ${ event.kwh } kWh"), "\"Charged 12 kWh\"");
        assert_eq!(text("${event.kwh}${event.id}"), "\"127\"");
        assert_eq!(text("${ event.kwh * event.price }"), "\"3.6\"");
        assert_eq!(text("${ event.price }"), "\"0.30\"");
    }

    #[test]
    fn braces_and_quotes_inside_an_expression_do_not_end_it() {
        assert_eq!(text("${ {'a': {'b': 1}}.a.b }"), "1");
        assert_eq!(text("${ \"}\" + '\\'}' }"), "\"}'}\"");
        assert_eq!(text("costs $${5} and $5"), "\"costs ${5} and $5\"");
    }

    #[test]
    fn an_expression_without_an_end_is_told_where_it_begins() {
        assert_eq!(parse_text("ab ${ x").unwrap_err().at, 3);
        assert_eq!(
            parse_text("ab ${ x + nope(1) }").unwrap_err().reason,
            "there is no function 'nope'"
        );
    }
}
