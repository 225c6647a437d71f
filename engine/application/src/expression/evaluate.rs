//! The value of an expression: one function for each kind of node, each of them metered.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use althing_types::Name;

use super::function::Function;
use super::{Expr, Failure, Macro, MacroKind, Meter, Node, Value};
use crate::number::{Number, OutOfRange, Rounding};

/// What names stand for.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, Value>,
    /// Beside the names: no expression can read one.
    secrets: BTreeMap<Name, Rc<str>>,
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Variables {
    /// Lets `name` stand for `value`.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.values.insert(name.into(), value);
    }

    /// Gives a secret to what is evaluated.
    pub(crate) fn set_secret(&mut self, name: Name, value: &str) {
        self.secrets.insert(name, Rc::from(value));
    }

    pub(crate) fn secret(&self, name: &Name) -> Result<&str, Failure> {
        let none = || Failure::because(format!("no secret '{name}' is given here"));
        self.secrets.get(name).map(|value| &**value).ok_or_else(none)
    }
}

pub(super) fn evaluate(
    expr: &Expr,
    variables: &Variables,
    meter: &mut Meter,
) -> Result<Value, Failure> {
    Evaluation { variables, items: Vec::new(), meter }.value(expr)
}

struct Evaluation<'e> {
    variables: &'e Variables,
    /// What macros call their items, innermost last.
    items: Vec<(&'e str, Value)>,
    meter: &'e mut Meter,
}

impl<'e> Evaluation<'e> {
    fn value(&mut self, expr: &'e Expr) -> Result<Value, Failure> {
        self.meter.step()?;
        Ok(match &expr.node {
            Node::Null => Value::Null,
            Node::Bool(truth) => Value::Bool(*truth),
            Node::Number(number) => Value::Number(*number),
            Node::Text(text) => {
                self.meter.bytes(text.len())?;
                Value::text(text)
            }
            Node::Variable(name) => self.variable(name)?,
            Node::Field { of, field } => field_of(&self.value(of)?, field)?,
            Node::Has { of, field } => match self.value(of)? {
                Value::Map(map) => Value::Bool(map.contains_key(field.as_str())),
                Value::Null => Value::Bool(false),
                other => {
                    return Err(Failure::because(format!(
                        "{} has no property '{field}'",
                        other.kind()
                    )));
                }
            },
            Node::List(items) => {
                self.meter.items(items.len())?;
                Value::list(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?)
            }
            Node::Map(entries) => self.map(entries)?,
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::And(a, b) => self.logic(a, b, false)?,
            Node::Or(a, b) => self.logic(a, b, true)?,
            Node::Choice { test, then, or_else } => {
                let test = self.truth(test)?;
                self.value(if test { then } else { or_else })?
            }
            Node::Macro(each) => self.each(each)?,
        })
    }

    fn variable(&self, name: &str) -> Result<Value, Failure> {
        let item = self.items.iter().rev().find(|(item, _)| *item == name).map(|(_, value)| value);
        let value = item.or_else(|| self.variables.values.get(name));
        value.cloned().ok_or_else(|| Failure::because(format!("there is no variable '{name}'")))
    }

    fn truth(&mut self, expr: &'e Expr) -> Result<bool, Failure> {
        match self.value(expr)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(Failure::because(format!("{} is neither true nor false", other.kind()))),
        }
    }

    /// `decisive` on either side decides, even when the other side fails.
    fn logic(&mut self, a: &'e Expr, b: &'e Expr, decisive: bool) -> Result<Value, Failure> {
        let first = match self.truth(a) {
            Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
            Err(Failure::Exhausted) => return Err(Failure::Exhausted),
            other => other,
        };
        let second = self.truth(b)?;
        if second == decisive { Ok(Value::Bool(decisive)) } else { first.map(Value::Bool) }
    }

    fn map(&mut self, entries: &'e [(Expr, Expr)]) -> Result<Value, Failure> {
        self.meter.mapping(entries.len())?;
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let Value::Text(key) = self.value(key)? else {
                return Err(Failure::because("the keys of a mapping are texts"));
            };
            let value = self.value(value)?;
            if map.insert(Rc::clone(&key), value).is_some() {
                return Err(Failure::because(format!("the key '{key}' is there twice")));
            }
        }
        Ok(Value::Map(Rc::new(map)))
    }

    fn each(&mut self, each: &'e Macro) -> Result<Value, Failure> {
        let range = match self.value(&each.range)? {
            Value::List(items) => items,
            Value::Map(map) => {
                self.meter.items(map.len())?;
                map.keys().map(|key| Value::Text(Rc::clone(key))).collect()
            }
            other => return Err(Failure::because(format!("{} has no items", other.kind()))),
        };
        let (mut kept, mut count, mut failure) = (Vec::new(), 0_usize, None);
        for item in range.iter() {
            self.meter.step()?;
            self.items.push((&each.variable, item.clone()));
            let outcome = self.item(each);
            self.items.pop();
            let value = match outcome {
                Ok(Some(value)) => value,
                Ok(None) => continue,
                // An item that decides outweighs others that fail.
                Err(Failure::Because(reason))
                    if matches!(each.kind, MacroKind::All | MacroKind::Exists) =>
                {
                    failure.get_or_insert(Failure::Because(reason));
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Paid for before it is kept: what is paid for afterwards is there already.
            match (each.kind, value) {
                (MacroKind::Map, value) => {
                    self.meter.items(1)?;
                    kept.push(value);
                }
                (MacroKind::All, Value::Bool(false)) => return Ok(Value::Bool(false)),
                (MacroKind::Exists, Value::Bool(true)) => return Ok(Value::Bool(true)),
                (MacroKind::Filter, Value::Bool(true)) => {
                    self.meter.items(1)?;
                    kept.push(item.clone());
                }
                (MacroKind::ExistsOne, Value::Bool(true)) => count += 1,
                (_, Value::Bool(_)) => {}
                (_, other) => {
                    failure = Some(Failure::because(format!(
                        "{} is neither true nor false",
                        other.kind()
                    )));
                }
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(match each.kind {
            MacroKind::All => Value::Bool(true),
            MacroKind::Exists => Value::Bool(false),
            MacroKind::ExistsOne => Value::Bool(count == 1),
            MacroKind::Filter | MacroKind::Map => Value::list(kept),
        })
    }

    /// What the body makes of the innermost item; `None` if its condition leaves it out.
    fn item(&mut self, each: &'e Macro) -> Result<Option<Value>, Failure> {
        if let Some(condition) = &each.condition
            && !self.truth(condition)?
        {
            return Ok(None);
        }
        self.value(&each.body).map(Some)
    }

    fn call(&mut self, function: Function, arguments: &'e [Expr]) -> Result<Value, Failure> {
        let values =
            arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
        match values.as_slice() {
            [a] => unary(function, a, self.meter),
            [a, b] => binary(function, a, b, self.meter),
            [Value::Text(text), from, to] if function == Function::Replace => {
                replace(text, text_of(from)?, text_of(to)?, self.meter)
            }
            _ => Err(Failure::because(format!("'{}' does not work on these", function.symbol()))),
        }
    }
}

/// A property; of nothing there is nothing, so that what did not happen can be asked for.
fn field_of(of: &Value, field: &str) -> Result<Value, Failure> {
    match of {
        Value::Map(map) => map
            .get(field)
            .cloned()
            .ok_or_else(|| Failure::because(format!("there is no property '{field}'"))),
        Value::Null => Ok(Value::Null),
        other => Err(Failure::because(format!("{} has no property '{field}'", other.kind()))),
    }
}

fn out_of_range(_: OutOfRange) -> Failure {
    Failure::because("the number has too many digits")
}

fn text_of(value: &Value) -> Result<&str, Failure> {
    match value {
        Value::Text(text) | Value::Decimal(_, text) => Ok(text),
        other => Err(Failure::because(format!("{} is no text", other.kind()))),
    }
}

fn does_not_work(function: Function, on: &[&Value]) -> Failure {
    let kinds: Vec<&str> = on.iter().map(|value| value.kind()).collect();
    Failure::because(format!("'{}' does not work on {}", function.symbol(), kinds.join(" and ")))
}

/// A number in the manner of what it was made from: money stays a text.
fn like(number: Number, sources: &[&Value]) -> Value {
    if sources.iter().any(|source| matches!(source, Value::Decimal(..))) {
        Value::Decimal(number, number.to_string().into())
    } else {
        Value::Number(number)
    }
}

fn unary(function: Function, a: &Value, meter: &mut Meter) -> Result<Value, Failure> {
    let whole = |rounding| {
        let number = a.number().ok_or_else(|| does_not_work(function, &[a]))?;
        Ok(like(number.rounded(rounding).map_err(out_of_range)?, &[a]))
    };
    let parsed = || match a {
        Value::Text(text) => {
            text.parse::<Number>().map_err(|_| Failure::because("the text is no number"))
        }
        other => other.number().ok_or_else(|| does_not_work(function, &[a])),
    };
    let changed = |change: fn(&str) -> String, meter: &mut Meter| {
        let text = text_of(a)?;
        meter.bytes(text.len())?;
        Ok(Value::text(&change(text)))
    };
    match function {
        Function::Not => match a {
            Value::Bool(truth) => Ok(Value::Bool(!truth)),
            _ => Err(does_not_work(function, &[a])),
        },
        Function::Negate => {
            let number = a.number().ok_or_else(|| does_not_work(function, &[a]))?;
            Ok(like(number.negated().map_err(out_of_range)?, &[a]))
        }
        Function::Ceil => whole(Rounding::Up),
        Function::Floor => whole(Rounding::Down),
        Function::Int => {
            Ok(Value::Number(parsed()?.rounded(Rounding::TowardZero).map_err(out_of_range)?))
        }
        Function::Number => Ok(Value::Number(parsed()?)),
        Function::Decimal => match a {
            Value::Text(text) => Ok(Value::Decimal(parsed()?, Rc::clone(text))),
            Value::Decimal(..) => Ok(a.clone()),
            _ => {
                let number = parsed()?;
                Ok(Value::Decimal(number, number.to_string().into()))
            }
        },
        Function::Text => {
            let text = a.to_text(meter)?;
            meter.bytes(text.len())?;
            Ok(Value::Text(text))
        }
        Function::Size => {
            let size = match a {
                Value::Text(text) | Value::Decimal(_, text) => {
                    meter.bytes(text.len())?;
                    text.chars().count()
                }
                Value::List(items) => items.len(),
                Value::Map(map) => map.len(),
                Value::Null | Value::Bool(_) | Value::Number(_) => {
                    return Err(does_not_work(function, &[a]));
                }
            };
            let size = i128::try_from(size).map_err(|_| out_of_range(OutOfRange))?;
            Number::new(size, 0).map(Value::Number).map_err(out_of_range)
        }
        Function::LowerAscii => changed(|text| text.to_ascii_lowercase(), meter),
        Function::UpperAscii => changed(|text| text.to_ascii_uppercase(), meter),
        Function::Trim => changed(|text| text.trim().to_owned(), meter),
        _ => Err(does_not_work(function, &[a])),
    }
}

fn binary(function: Function, a: &Value, b: &Value, meter: &mut Meter) -> Result<Value, Failure> {
    let wrong = || does_not_work(function, &[a, b]);
    match function {
        Function::Equal => Ok(Value::Bool(a.equals(b, meter)?)),
        Function::NotEqual => Ok(Value::Bool(!a.equals(b, meter)?)),
        Function::Less | Function::LessEqual | Function::Greater | Function::GreaterEqual => {
            let order = order(a, b, meter)?.ok_or_else(wrong)?;
            Ok(Value::Bool(match function {
                Function::Less => order.is_lt(),
                Function::LessEqual => order.is_le(),
                Function::Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        Function::Max | Function::Min => {
            let order = order(a, b, meter)?.ok_or_else(wrong)?;
            let first = if function == Function::Max { order.is_ge() } else { order.is_le() };
            Ok(if first { a.clone() } else { b.clone() })
        }
        Function::Add => match (a, b) {
            (Value::Text(a), Value::Text(b)) => {
                meter.bytes(a.len() + b.len())?;
                Ok(Value::text(&format!("{a}{b}")))
            }
            (Value::List(a), Value::List(b)) => {
                meter.items(a.len() + b.len())?;
                Ok(Value::list(a.iter().chain(b.iter()).cloned().collect()))
            }
            _ => arithmetic(function, a, b),
        },
        Function::Subtract | Function::Multiply | Function::Divide | Function::Modulo => {
            arithmetic(function, a, b)
        }
        Function::In => match b {
            Value::List(items) => {
                for item in items.iter() {
                    if a.equals(item, meter)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Value::Map(map) => Ok(Value::Bool(map.contains_key(text_of(a)?))),
            _ => Err(wrong()),
        },
        Function::Index => match (a, b) {
            (Value::List(items), index) => {
                let index = index.number().and_then(Number::to_usize);
                let item = index.and_then(|index| items.get(index));
                item.cloned().ok_or_else(|| Failure::because("the list has no such item"))
            }
            (Value::Map(_), Value::Text(key)) => field_of(a, key),
            _ => Err(wrong()),
        },
        Function::Contains | Function::StartsWith | Function::EndsWith => {
            let (text, part) = (text_of(a)?, text_of(b)?);
            meter.bytes(text.len() + part.len())?;
            Ok(Value::Bool(match function {
                Function::Contains => text.contains(part),
                Function::StartsWith => text.starts_with(part),
                _ => text.ends_with(part),
            }))
        }
        Function::Split => {
            let (text, separator) = (text_of(a)?, text_of(b)?);
            if separator.is_empty() {
                return Err(Failure::because("split() needs a text to split at"));
            }
            meter.bytes(text.len())?;
            let count = text.matches(separator).count() + 1;
            meter.items(count)?;
            Ok(Value::list(text.split(separator).map(Value::text).collect()))
        }
        Function::Join => {
            let (Value::List(items), separator) = (a, text_of(b)?) else { return Err(wrong()) };
            let texts = items.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
            let bytes: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
            meter.items(texts.len())?;
            meter.bytes(bytes)?;
            Ok(Value::text(&texts.join(separator)))
        }
        _ => Err(wrong()),
    }
}

fn replace(text: &str, from: &str, to: &str, meter: &mut Meter) -> Result<Value, Failure> {
    meter.bytes(text.len())?;
    let count = text.matches(from).count();
    meter.bytes(count.saturating_mul(to.len()).saturating_add(text.len()))?;
    Ok(Value::text(&text.replace(from, to)))
}

/// Numbers by value, texts by code points; other things have no order.
fn order(a: &Value, b: &Value, meter: &mut Meter) -> Result<Option<Ordering>, Failure> {
    Ok(match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            meter.bytes(a.len().min(b.len()))?;
            Some(a.cmp(b))
        }
        (Value::Decimal(number, _), Value::Text(text)) => {
            text.parse().ok().map(|other| number.cmp(&other))
        }
        (Value::Text(text), Value::Decimal(number, _)) => {
            text.parse().ok().map(|other: Number| other.cmp(number))
        }
        _ => match (a.number(), b.number()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => None,
        },
    })
}

fn arithmetic(function: Function, a: &Value, b: &Value) -> Result<Value, Failure> {
    let (Some(x), Some(y)) = (a.number(), b.number()) else {
        return Err(does_not_work(function, &[a, b]));
    };
    let result = match function {
        Function::Add => x.plus(y).map(Some),
        Function::Subtract => x.minus(y).map(Some),
        Function::Multiply => x.times(y).map(Some),
        Function::Divide => x.over(y),
        _ => x.modulo(y),
    };
    let number = result
        .map_err(out_of_range)?
        .ok_or_else(|| Failure::because("nothing is divided by nought"))?;
    Ok(like(number, &[a, b]))
}
