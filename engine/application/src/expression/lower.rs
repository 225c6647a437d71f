//! From the parser's tree to ours: what is not known here is refused with its place.

use althing_manifest::read::choose;
use cel::common::ast::{CallExpr, EntryExpr, Expr as CelExpr, IdedExpr, LiteralValue, SourceInfo};

use super::function::{FUNCTIONS, Style};
use super::{DEPTH_MAX, Expr, MACROS_MAX, Macro, MacroKind, Node, SOURCE_BYTES_MAX, Unreadable};
use crate::number::Number;

const MACROS: [(&str, MacroKind, usize); 7] = [
    ("all", MacroKind::All, 2),
    ("exists", MacroKind::Exists, 2),
    ("exists_one", MacroKind::ExistsOne, 2),
    ("existsOne", MacroKind::ExistsOne, 2),
    ("filter", MacroKind::Filter, 2),
    ("map", MacroKind::Map, 2),
    ("map", MacroKind::Map, 3),
];

pub(super) fn parse(source: &str) -> Result<Expr, Unreadable> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(Unreadable {
            at: 0,
            reason: format!(
                "the expression has {} bytes, at most {SOURCE_BYTES_MAX} are allowed",
                source.len()
            ),
            hint: "leave work to the services: an expression picks and compares".into(),
        });
    }
    // The parser recurses; hostile depth is refused before it begins.
    let mut depth = 0_usize;
    for (at, byte) in source.bytes().enumerate() {
        depth = match byte {
            b'(' | b'[' | b'{' => depth + 1,
            b')' | b']' | b'}' => depth.saturating_sub(1),
            _ => depth,
        };
        if depth > DEPTH_MAX {
            return Err(too_deep(at));
        }
    }
    // Without macros they are left as the calls they are written as.
    let parser = cel::Env::default()
        .with_optional_support(false)
        .parser()
        .max_recursion_depth(250)
        .error_recovery_limit(4);
    let (tree, info) = parser.parse_with_source_info(source).map_err(|errors| {
        let first = errors.errors.first();
        let (line, column) = first.map_or((1, 1), |error| error.pos);
        let reason = first.map_or("", |error| error.msg.as_str());
        Unreadable {
            at: offset(source, line, column),
            reason: format!("the expression cannot be read: {}", brief(reason)),
            hint: "expressions are CEL: `event.amount > 0 && has(event.email)`".into(),
        }
    })?;
    Lower { source, info: &info }.lower(&tree, 0, 0)
}

fn brief(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    line.split(" expecting ").next().unwrap_or_default().chars().take(120).collect()
}

fn offset(source: &str, line: isize, column: isize) -> usize {
    let before = |n: isize| usize::try_from(n.saturating_sub(1)).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(before(line)).map(str::len).sum();
    let rest = source.get(start..).unwrap_or_default();
    let column: usize = rest.chars().take(before(column)).map(char::len_utf8).sum();
    (start + column).min(source.len())
}

fn too_deep(at: usize) -> Unreadable {
    Unreadable {
        at,
        reason: format!("the expression is nested deeper than {DEPTH_MAX}"),
        hint: "leave work to the services: an expression picks and compares".into(),
    }
}

struct Lower<'s> {
    source: &'s str,
    info: &'s SourceInfo,
}

impl Lower<'_> {
    fn lower(&self, tree: &IdedExpr, depth: usize, macros: usize) -> Result<Expr, Unreadable> {
        let at = self.place(tree);
        if depth > DEPTH_MAX {
            return Err(too_deep(at));
        }
        let inner = |tree: &IdedExpr| self.lower(tree, depth + 1, macros);
        let node = match &tree.expr {
            CelExpr::Literal(literal) => self.literal(literal, at)?,
            CelExpr::Ident(name) => Node::Variable(name.trim_start_matches('.').to_owned()),
            CelExpr::Select(select) if !select.test => {
                Node::Field { of: Box::new(inner(&select.operand)?), field: select.field.clone() }
            }
            CelExpr::List(list) if list.optional_indices.is_empty() => {
                Node::List(list.elements.iter().map(inner).collect::<Result<_, _>>()?)
            }
            CelExpr::Map(map) => {
                let entries = map.entries.iter().map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) if !entry.optional => {
                        Ok((inner(&entry.key)?, inner(&entry.value)?))
                    }
                    EntryExpr::MapEntry(_) | EntryExpr::StructField(_) => Err(unsupported(at)),
                });
                Node::Map(entries.collect::<Result<_, _>>()?)
            }
            CelExpr::Call(call) => return self.call(call, at, depth, macros),
            CelExpr::Select(_)
            | CelExpr::List(_)
            | CelExpr::Struct(_)
            | CelExpr::Comprehension(_)
            | CelExpr::Unspecified => return Err(unsupported(at)),
        };
        Ok(Expr { at, node })
    }

    fn place(&self, tree: &IdedExpr) -> usize {
        let characters = self.info.offset_for(tree.id).map_or(0, |(start, _)| start as usize);
        // The parser counts characters.
        self.source.chars().take(characters).map(char::len_utf8).sum()
    }

    fn literal(&self, literal: &LiteralValue, at: usize) -> Result<Node, Unreadable> {
        let out_of_range = || Unreadable {
            at,
            reason: "the number has too many digits".into(),
            hint: "numbers have at most 18 decimals".into(),
        };
        Ok(match literal {
            LiteralValue::Null => Node::Null,
            LiteralValue::Boolean(truth) => Node::Bool(truth.into_inner()),
            LiteralValue::Int(int) => {
                Node::Number(Number::new((*int.inner()).into(), 0).map_err(|_| out_of_range())?)
            }
            LiteralValue::UInt(int) => {
                Node::Number(Number::new((*int.inner()).into(), 0).map_err(|_| out_of_range())?)
            }
            LiteralValue::Double(double) => {
                let json =
                    serde_json::Number::from_f64(*double.inner()).ok_or_else(out_of_range)?;
                Node::Number(Number::from_json(&json).map_err(|_| out_of_range())?)
            }
            LiteralValue::String(text) => Node::Text(text.inner().to_owned()),
            LiteralValue::Bytes(_) => return Err(unsupported(at)),
        })
    }

    fn call(
        &self,
        call: &CallExpr,
        at: usize,
        depth: usize,
        macros: usize,
    ) -> Result<Expr, Unreadable> {
        let inner = |tree: &IdedExpr| self.lower(tree, depth + 1, macros);
        let boxed = |tree: &IdedExpr| Ok(Box::new(inner(tree)?));
        let name = call.func_name.as_str();
        let node = match (name, &call.target, call.args.as_slice()) {
            // Chains of these are balanced by the parser.
            ("_&&_", None, [a, b]) => Node::And(boxed(a)?, boxed(b)?),
            ("_||_", None, [a, b]) => Node::Or(boxed(a)?, boxed(b)?),
            ("_?_:_", None, [test, then, or_else]) => {
                Node::Choice { test: boxed(test)?, then: boxed(then)?, or_else: boxed(or_else)? }
            }
            ("has", None, [argument]) => match self.lower(argument, depth + 1, macros)?.node {
                Node::Field { of, field } => Node::Has { of, field },
                _ => {
                    return Err(Unreadable {
                        at,
                        reason: "has() asks whether a property is there".into(),
                        hint: "write it like has(event.email)".into(),
                    });
                }
            },
            (_, Some(range), arguments) if MACROS.iter().any(|(m, ..)| *m == name) => {
                return self.each(name, range, arguments, at, depth, macros);
            }
            (_, target, arguments) => {
                let style = if target.is_some() { Style::Method } else { Style::Global };
                let found = FUNCTIONS.iter().find(|(known, _, how, _)| {
                    *known == name && (*how == style || *how == Style::Both)
                });
                let Some((_, function, _, count)) = found else {
                    return Err(unknown(name, style, at));
                };
                let all = target.as_deref().into_iter().chain(arguments);
                let all = all.map(inner).collect::<Result<Vec<_>, _>>()?;
                if all.len() != *count {
                    return Err(Unreadable {
                        at,
                        reason: format!("'{name}' has the wrong number of arguments"),
                        hint: format!("it works on {count}, that before the point included"),
                    });
                }
                Node::Call(*function, all)
            }
        };
        Ok(Expr { at, node })
    }

    fn each(
        &self,
        name: &str,
        range: &IdedExpr,
        arguments: &[IdedExpr],
        at: usize,
        depth: usize,
        macros: usize,
    ) -> Result<Expr, Unreadable> {
        let found =
            MACROS.iter().find(|(known, _, count)| *known == name && *count == arguments.len());
        let (Some((_, kind, _)), Some((variable, rest))) = (found, arguments.split_first()) else {
            return Err(Unreadable {
                at,
                reason: format!("'{name}' has the wrong number of arguments"),
                hint: format!("write it like items.{name}(item, item.price > 0)"),
            });
        };
        let CelExpr::Ident(variable) = &variable.expr else {
            return Err(Unreadable {
                at: self.place(variable),
                reason: format!("the first argument of '{name}' names an item"),
                hint: format!("write it like items.{name}(item, item.price > 0)"),
            });
        };
        if macros >= MACROS_MAX {
            return Err(Unreadable {
                at,
                reason: format!("all, exists, filter and map are nested deeper than {MACROS_MAX}"),
                hint: "leave work to the services: an expression picks and compares".into(),
            });
        }
        let (condition, body) = match rest {
            [condition, body] => (Some(self.lower(condition, depth + 1, macros + 1)?), body),
            [body] => (None, body),
            _ => return Err(unsupported(at)),
        };
        let each = Macro {
            kind: *kind,
            // A chain of macros runs one after the other, but each item of the range may cost as much.
            range: self.lower(range, depth + 1, macros)?,
            variable: variable.clone(),
            condition,
            body: self.lower(body, depth + 1, macros + 1)?,
        };
        Ok(Expr { at, node: Node::Macro(Box::new(each)) })
    }
}

fn unsupported(at: usize) -> Unreadable {
    Unreadable {
        at,
        reason: "this kind of expression does not exist here".into(),
        hint: "there are texts, numbers, true, false, null, lists and mappings".into(),
    }
}

fn unknown(name: &str, style: Style, at: usize) -> Unreadable {
    let known: Vec<&str> = FUNCTIONS
        .iter()
        .filter(|(name, _, how, _)| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && (*how == style || *how == Style::Both)
        })
        .map(|row| row.0)
        .chain(MACROS.iter().take(7).map(|row| row.0).filter(|_| style == Style::Method))
        .collect();
    let what = if style == Style::Method { "method" } else { "function" };
    Unreadable { at, reason: format!("there is no {what} '{name}'"), hint: choose(name, &known) }
}
