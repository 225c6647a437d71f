//! What type an expression has, and what is wrong with it whatever the values will be.

use std::collections::BTreeMap;

use althing_manifest::read::choose;

use crate::expression::{Expr, Expression, Function, Macro, MacroKind, Node};
use crate::mistake::MistakeKind;
use crate::schema::Type;

/// What an expression may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) variables: BTreeMap<String, Type>,
    /// What is there, but not here: why a name may not be used.
    pub(crate) elsewhere: BTreeMap<String, String>,
}

/// Something wrong in an expression.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) kind: MistakeKind,
    /// Bytes from the start of the source.
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// The type of an expression, and its problems.
pub(crate) fn infer(expression: &Expression, scope: &Scope) -> (Type, Vec<Problem>) {
    let mut inference =
        Inference { scope, items: Vec::new(), present: Vec::new(), problems: Vec::new() };
    let found = inference.of(expression.root());
    (found, inference.problems)
}

struct Inference<'s> {
    scope: &'s Scope,
    items: Vec<(&'s str, Type)>,
    /// Paths that a condition has found to be there.
    present: Vec<String>,
    problems: Vec<Problem>,
}

impl<'s> Inference<'s> {
    fn problem(
        &mut self,
        kind: MistakeKind,
        at: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem { kind, at, message: message.into(), hint: hint.into() });
    }

    fn of(&mut self, expr: &'s Expr) -> Type {
        let found = self.without_conditions(expr);
        let is_present = || expr.path().is_some_and(|path| self.present.contains(&path.join(".")));
        if matches!(found, Type::Maybe(_)) && is_present() { found.present() } else { found }
    }

    fn without_conditions(&mut self, expr: &'s Expr) -> Type {
        match &expr.node {
            Node::Null => Type::Null,
            Node::Bool(_) => Type::Bool,
            Node::Number(_) => Type::Number,
            Node::Text(_) => Type::Text,
            Node::Variable(name) => self.variable(name, expr.at),
            Node::Field { of, field } => {
                let owner = self.of(of);
                self.field(owner, of, field, expr.at)
            }
            Node::Has { of, .. } => {
                self.of(of);
                Type::Bool
            }
            Node::List(items) => {
                let types: Vec<Type> = items.iter().map(|item| self.of(item)).collect();
                Type::List(Box::new(types.into_iter().reduce(Type::or).unwrap_or(Type::Any)))
            }
            Node::Map(entries) => {
                let mut fields = BTreeMap::new();
                let mut open = false;
                for (key, value) in entries {
                    self.expect(key, &[Type::Text]);
                    let r#type = self.of(value);
                    match &key.node {
                        Node::Text(name) => {
                            fields.insert(
                                name.clone(),
                                crate::schema::Property { r#type, required: true },
                            );
                        }
                        _ => open = true,
                    }
                }
                Type::Map(fields, open)
            }
            Node::Call(function, arguments) => self.call(*function, arguments, expr.at),
            Node::And(a, b) => {
                self.expect(a, &[Type::Bool]);
                let known = self.present.len();
                self.note_present(a);
                self.expect(b, &[Type::Bool]);
                self.present.truncate(known);
                Type::Bool
            }
            Node::Or(a, b) => {
                self.expect(a, &[Type::Bool]);
                self.expect(b, &[Type::Bool]);
                Type::Bool
            }
            Node::Choice { test, then, or_else } => {
                self.expect(test, &[Type::Bool]);
                let known = self.present.len();
                self.note_present(test);
                let then = self.of(then);
                self.present.truncate(known);
                then.or(self.of(or_else))
            }
            Node::Macro(each) => self.each(each),
        }
    }

    fn variable(&mut self, name: &str, at: usize) -> Type {
        let item = self.items.iter().rev().find(|(item, _)| *item == name).map(|(_, found)| found);
        if let Some(found) = item.or_else(|| self.scope.variables.get(name)) {
            return found.clone();
        }
        if let Some(why) = self.scope.elsewhere.get(name) {
            let message = format!("`{name}` has no value here");
            self.problem(MistakeKind::UnknownVariable, at, message, why.clone());
        } else {
            let known: Vec<&str> = self.scope.variables.keys().map(String::as_str).collect();
            let message = format!("there is no variable `{name}`");
            self.problem(MistakeKind::UnknownVariable, at, message, choose(name, &known));
        }
        Type::Any
    }

    fn field(&mut self, owner: Type, of: &Expr, field: &str, at: usize) -> Type {
        match owner {
            Type::Any => Type::Any,
            Type::Null => Type::Null,
            Type::Maybe(inner) => match self.field(*inner, of, field, at) {
                already @ Type::Maybe(_) => already,
                found => Type::Maybe(Box::new(found)),
            },
            Type::Map(fields, open) => match fields.get(field) {
                Some(property) if property.required => property.r#type.clone(),
                Some(property) => Type::Maybe(Box::new(property.r#type.clone())),
                None if open => Type::Any,
                None => {
                    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                    let owner = of
                        .path()
                        .map_or_else(|| "this".to_owned(), |path| format!("`{}`", path.join(".")));
                    let hint = if known.is_empty() {
                        "it has no properties at all".to_owned()
                    } else {
                        choose(field, &known)
                    };
                    let message = format!("{owner} has no `{field}`");
                    self.problem(MistakeKind::UnknownVariable, at, message, hint);
                    Type::Any
                }
            },
            other @ (Type::Bool | Type::Number | Type::Decimal | Type::Text | Type::List(_)) => {
                let message = format!("{} has no properties", other.kind());
                self.problem(
                    MistakeKind::UnknownVariable,
                    at,
                    message,
                    format!("remove `.{field}`"),
                );
                Type::Any
            }
        }
    }

    /// What is there where a test is true.
    fn note_present(&mut self, test: &Expr) {
        match &test.node {
            Node::Has { of, field } => {
                if let Some(path) = of.path() {
                    let path = path.join(".");
                    self.present.push(format!("{path}.{field}"));
                    self.present.push(path);
                }
            }
            Node::Call(Function::NotEqual, arguments) => {
                if let [value, Expr { node: Node::Null, .. }]
                | [Expr { node: Node::Null, .. }, value] = arguments.as_slice()
                    && let Some(path) = value.path()
                {
                    self.present.push(path.join("."));
                }
            }
            Node::And(a, b) => {
                self.note_present(a);
                self.note_present(b);
            }
            _ => {}
        }
    }

    fn expect(&mut self, expr: &'s Expr, wanted: &[Type]) -> Type {
        let found = self.of(expr);
        if let Type::Maybe(_) = found {
            let what = expr
                .path()
                .map_or_else(|| "this value".to_owned(), |path| format!("`{}`", path.join(".")));
            let message = format!("{what} may be missing");
            let hint = "ask first, as in: has(a.b) ? a.b : \"\", or a != null ? a.b : \"\"";
            self.problem(MistakeKind::Input, expr.at, message, hint);
            return Type::Any;
        }
        let fits = found == Type::Any || wanted.iter().any(|wanted| same_kind(&found, wanted));
        if !fits {
            let kinds: Vec<&str> = wanted.iter().map(Type::kind).collect();
            let message =
                format!("this is {}, but {} is expected", found.kind(), kinds.join(" or "));
            let hint = match (&found, wanted.first()) {
                (Type::Text, Some(Type::Number)) => {
                    "decimal(x) and number(x) read a number from a text"
                }
                (_, Some(Type::Text)) => "string(x) makes a text of anything",
                _ => "the types are those of the services' manifests",
            };
            self.problem(MistakeKind::Input, expr.at, message, hint);
            return Type::Any;
        }
        found
    }

    fn each(&mut self, each: &'s Macro) -> Type {
        let range = self.expect(
            &each.range,
            &[Type::List(Box::new(Type::Any)), Type::Map(BTreeMap::new(), true)],
        );
        let item = match range {
            Type::List(items) => *items,
            Type::Map(..) => Type::Text,
            _ => Type::Any,
        };
        self.items.push((&each.variable, item.clone()));
        if let Some(condition) = &each.condition {
            self.expect(condition, &[Type::Bool]);
        }
        let found = match each.kind {
            MacroKind::Map => Type::List(Box::new(self.of(&each.body))),
            MacroKind::Filter => {
                self.expect(&each.body, &[Type::Bool]);
                Type::List(Box::new(item))
            }
            MacroKind::All | MacroKind::Exists | MacroKind::ExistsOne => {
                self.expect(&each.body, &[Type::Bool]);
                Type::Bool
            }
        };
        self.items.pop();
        found
    }

    fn call(&mut self, function: Function, arguments: &'s [Expr], at: usize) -> Type {
        let numbers = [Type::Number, Type::Decimal];
        let texts = [Type::Text, Type::Decimal];
        match (function, arguments) {
            (Function::Not, [a]) => {
                self.expect(a, &[Type::Bool]);
                Type::Bool
            }
            (Function::Negate | Function::Ceil | Function::Floor, [a]) => self.expect(a, &numbers),
            (Function::Int | Function::Number, [a]) => {
                self.expect(a, &[Type::Number, Type::Decimal, Type::Text]);
                Type::Number
            }
            (Function::Decimal, [a]) => {
                self.expect(a, &[Type::Number, Type::Decimal, Type::Text]);
                Type::Decimal
            }
            (Function::Text, [a]) => {
                self.of(a);
                Type::Text
            }
            (Function::Size, [a]) => {
                let list = Type::List(Box::new(Type::Any));
                self.expect(
                    a,
                    &[Type::Text, Type::Decimal, list, Type::Map(BTreeMap::new(), true)],
                );
                Type::Number
            }
            (Function::LowerAscii | Function::UpperAscii | Function::Trim, [a]) => {
                self.expect(a, &texts);
                Type::Text
            }
            (Function::Equal | Function::NotEqual, [a, b]) => {
                self.of(a);
                self.of(b);
                Type::Bool
            }
            (
                Function::Less | Function::LessEqual | Function::Greater | Function::GreaterEqual,
                [a, b],
            ) => {
                self.ordered(a, b, at);
                Type::Bool
            }
            (Function::Max | Function::Min, [a, b]) => self.ordered(a, b, at),
            (Function::Add, [a, b]) => {
                let list = Type::List(Box::new(Type::Any));
                let wanted = [Type::Number, Type::Decimal, Type::Text, list];
                let (a, b) = (self.expect(a, &wanted), self.expect(b, &wanted));
                match (&a, &b) {
                    (Type::Any, _) | (_, Type::Any) => Type::Any,
                    (Type::Text, Type::Text) => Type::Text,
                    (Type::List(_), Type::List(_)) => a.or(b),
                    (Type::Number | Type::Decimal, Type::Number | Type::Decimal) => like(&a, &b),
                    _ => {
                        let message = format!("{} and {} cannot be added", a.kind(), b.kind());
                        let hint = "string(x) makes a text of anything, decimal(x) reads a number from a text";
                        self.problem(MistakeKind::Input, at, message, hint);
                        Type::Any
                    }
                }
            }
            (
                Function::Subtract | Function::Multiply | Function::Divide | Function::Modulo,
                [a, b],
            ) => {
                let (a, b) = (self.expect(a, &numbers), self.expect(b, &numbers));
                like(&a, &b)
            }
            (Function::In, [a, b]) => {
                self.of(a);
                self.expect(
                    b,
                    &[Type::List(Box::new(Type::Any)), Type::Map(BTreeMap::new(), true)],
                );
                Type::Bool
            }
            (Function::Index, [a, b]) => {
                let list = Type::List(Box::new(Type::Any));
                match self.expect(a, &[list, Type::Map(BTreeMap::new(), true)]) {
                    Type::List(items) => {
                        self.expect(b, &[Type::Number]);
                        *items
                    }
                    Type::Map(fields, open) => {
                        self.expect(b, &[Type::Text]);
                        match &b.node {
                            Node::Text(field) => {
                                self.field(Type::Map(fields, open), a, field, b.at)
                            }
                            _ => Type::Any,
                        }
                    }
                    _ => {
                        self.of(b);
                        Type::Any
                    }
                }
            }
            (Function::Contains | Function::StartsWith | Function::EndsWith, [a, b]) => {
                self.expect(a, &texts);
                self.expect(b, &texts);
                Type::Bool
            }
            (Function::Split, [a, b]) => {
                self.expect(a, &texts);
                self.expect(b, &texts);
                Type::List(Box::new(Type::Text))
            }
            (Function::Join, [a, b]) => {
                self.expect(a, &[Type::List(Box::new(Type::Any))]);
                self.expect(b, &texts);
                Type::Text
            }
            (_, arguments) => {
                for argument in arguments {
                    self.expect(argument, &texts);
                }
                Type::Text
            }
        }
    }

    fn ordered(&mut self, a: &'s Expr, b: &'s Expr, at: usize) -> Type {
        let wanted = [Type::Number, Type::Decimal, Type::Text];
        let (x, y) = (self.expect(a, &wanted), self.expect(b, &wanted));
        match (&x, &y) {
            (Type::Any, _) | (_, Type::Any) => Type::Any,
            (Type::Text, Type::Number) | (Type::Number, Type::Text) => {
                let hint = "decimal(x) and number(x) read a number from a text";
                self.problem(MistakeKind::Input, at, "a number is compared with a text", hint);
                Type::Any
            }
            (Type::Text, Type::Text) => Type::Text,
            _ => like(&x, &y),
        }
    }
}

fn same_kind(a: &Type, b: &Type) -> bool {
    matches!((a, b), (Type::List(_), Type::List(_)) | (Type::Map(..), Type::Map(..))) || a == b
}

/// A number in the manner of what it is made from.
fn like(a: &Type, b: &Type) -> Type {
    match (a, b) {
        (Type::Decimal, _) | (_, Type::Decimal) => Type::Decimal,
        (Type::Number, Type::Number) => Type::Number,
        _ => Type::Any,
    }
}
