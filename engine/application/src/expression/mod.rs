//! Expressions: the Common Expression Language, bounded and exact.
//!
//! ```text
//!   source ──cel's parser──► tree of this module ──meter, variables──► value ──► canonical JSON
//!                └ unknown function, too long, nested too deeply: told before anything is deployed
//! ```
//!
//! The grammar is CEL's and so is its parser. Evaluation is ours, since executor and checkers must come
//! to the same bytes on every machine and for as long as an application lives: numbers are exact
//! decimals instead of floats, mappings are walked in the order of their keys, and every step and
//! every byte is charged to a meter. What differs from CEL:
//!
//! - one kind of number, exact; `7 / 2` is `3.5`, and `floor`, `ceil` and `int` make integers;
//! - a text that its schema calls a `decimal` counts and compares as a number and is a text when it
//!   is written;
//! - no bytes, messages, durations, timestamps and regular expressions; nothing knows the time.

mod evaluate;
mod function;
mod lower;
mod meter;
mod value;

use std::fmt;

pub use evaluate::Variables;
pub use function::Function;
pub use meter::{COST_MAX, Meter};
pub use value::{Decimals, Value};

use crate::number::Number;

/// Longest source of an expression in bytes.
pub const SOURCE_BYTES_MAX: usize = 1 << 10;
/// How deep `all`, `exists`, `filter` and `map` may be nested.
pub const MACROS_MAX: usize = 2;
/// How deep an expression may be nested.
pub const DEPTH_MAX: usize = 32;

/// An expression that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    source: String,
    root: Expr,
}

/// A part of an expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Bytes from the start of the source.
    pub at: usize,
    /// The part.
    pub node: Node,
}

/// What an expression is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// `event`.
    Variable(String),
    /// `of.field`.
    Field {
        /// Of what.
        of: Box<Expr>,
        /// Which.
        field: String,
    },
    /// `has(of.field)`.
    Has {
        /// Of what.
        of: Box<Expr>,
        /// Which.
        field: String,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{a: b}`.
    Map(Vec<(Expr, Expr)>),
    /// An operator or a function; a method's target is its first argument.
    Call(Function, Vec<Expr>),
    /// `a && b`.
    And(Box<Expr>, Box<Expr>),
    /// `a || b`.
    Or(Box<Expr>, Box<Expr>),
    /// `test ? then : or_else`.
    Choice {
        /// The condition.
        test: Box<Expr>,
        /// If it is true.
        then: Box<Expr>,
        /// If it is false.
        or_else: Box<Expr>,
    },
    /// `range.map(variable, body)` and its like.
    Macro(Box<Macro>),
}

/// Something done for each item of a list, or for each key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    /// What is done.
    pub kind: MacroKind,
    /// For each of these.
    pub range: Expr,
    /// What an item is called.
    pub variable: String,
    /// Of `map` with three arguments: which items are mapped.
    pub condition: Option<Expr>,
    /// For each item.
    pub body: Expr,
}

/// What a macro does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacroKind {
    /// Whether the body is true of all items.
    All,
    /// Whether it is true of some item.
    Exists,
    /// Whether it is true of one item only.
    ExistsOne,
    /// The items of which it is true.
    Filter,
    /// What the body makes of each item.
    Map,
}

/// Why a source is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Bytes from the start of the source.
    pub at: usize,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The meter ran out; nothing absorbs this.
    Exhausted,
    /// Any other reason.
    Because(String),
}

impl Failure {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self::Because(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted => f.write_str("the expression does more than an expression may"),
            Self::Because(reason) => f.write_str(reason),
        }
    }
}

impl Expression {
    /// Reads the source of an expression.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] with the place and a hint.
    pub fn parse(source: &str) -> Result<Self, Unreadable> {
        let root = lower::parse(source)?;
        Ok(Self { source: source.to_owned(), root })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its tree.
    #[must_use]
    pub const fn root(&self) -> &Expr {
        &self.root
    }

    /// Its value.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it has none, the same on every machine.
    pub fn evaluate(&self, variables: &Variables, meter: &mut Meter) -> Result<Value, Failure> {
        evaluate::evaluate(&self.root, variables, meter)
    }

    /// The free variables, each with where it first stands.
    #[must_use]
    pub fn variables(&self) -> Vec<(&str, usize)> {
        let mut found = Vec::new();
        self.root.variables(&mut Vec::new(), &mut found);
        found
    }

    /// `event.a.b` as its words; `None` for any other expression.
    #[must_use]
    pub fn path(&self) -> Option<Vec<&str>> {
        self.root.path()
    }
}

impl Expr {
    /// `event.a.b` as its words; `None` for any other expression.
    #[must_use]
    pub fn path(&self) -> Option<Vec<&str>> {
        let (mut words, mut expr) = (Vec::new(), self);
        while let Node::Field { of, field } = &expr.node {
            words.push(field.as_str());
            expr = of;
        }
        let Node::Variable(name) = &expr.node else { return None };
        words.push(name);
        words.reverse();
        Some(words)
    }

    fn variables<'e>(&'e self, bound: &mut Vec<&'e str>, found: &mut Vec<(&'e str, usize)>) {
        match &self.node {
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
            Node::Variable(name) => {
                let name = name.as_str();
                if !bound.contains(&name) && found.iter().all(|(other, _)| *other != name) {
                    found.push((name, self.at));
                }
            }
            Node::Field { of, .. } | Node::Has { of, .. } => of.variables(bound, found),
            Node::List(items) | Node::Call(_, items) => {
                for item in items {
                    item.variables(bound, found);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    key.variables(bound, found);
                    value.variables(bound, found);
                }
            }
            Node::And(a, b) | Node::Or(a, b) => {
                a.variables(bound, found);
                b.variables(bound, found);
            }
            Node::Choice { test, then, or_else } => {
                for part in [test, then, or_else] {
                    part.variables(bound, found);
                }
            }
            Node::Macro(each) => {
                each.range.variables(bound, found);
                bound.push(&each.variable);
                if let Some(condition) = &each.condition {
                    condition.variables(bound, found);
                }
                each.body.variables(bound, found);
                bound.pop();
            }
        }
    }
}
