//! Operators and functions: their names and how many arguments they take.

/// An operator or a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is called as in the table below")]
pub enum Function {
    Add,
    Ceil,
    Contains,
    Decimal,
    Divide,
    EndsWith,
    Equal,
    Floor,
    Greater,
    GreaterEqual,
    In,
    Index,
    Int,
    Join,
    Less,
    LessEqual,
    LowerAscii,
    Max,
    Min,
    Modulo,
    Multiply,
    Negate,
    Not,
    NotEqual,
    Number,
    Replace,
    Size,
    Split,
    StartsWith,
    Subtract,
    Text,
    Trim,
    UpperAscii,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `f(x)`, or by an operator.
    Global,
    /// `x.f()`.
    Method,
    /// Either way.
    Both,
}

/// Name, function, style and number of arguments, a method's target included.
pub(crate) const FUNCTIONS: [(&str, Function, Style, usize); 33] = [
    ("!_", Function::Not, Style::Global, 1),
    ("-_", Function::Negate, Style::Global, 1),
    ("@in", Function::In, Style::Global, 2),
    ("_!=_", Function::NotEqual, Style::Global, 2),
    ("_%_", Function::Modulo, Style::Global, 2),
    ("_*_", Function::Multiply, Style::Global, 2),
    ("_+_", Function::Add, Style::Global, 2),
    ("_-_", Function::Subtract, Style::Global, 2),
    ("_/_", Function::Divide, Style::Global, 2),
    ("_<=_", Function::LessEqual, Style::Global, 2),
    ("_<_", Function::Less, Style::Global, 2),
    ("_==_", Function::Equal, Style::Global, 2),
    ("_>=_", Function::GreaterEqual, Style::Global, 2),
    ("_>_", Function::Greater, Style::Global, 2),
    ("_[_]", Function::Index, Style::Global, 2),
    ("ceil", Function::Ceil, Style::Global, 1),
    ("contains", Function::Contains, Style::Method, 2),
    ("decimal", Function::Decimal, Style::Global, 1),
    ("endsWith", Function::EndsWith, Style::Method, 2),
    ("floor", Function::Floor, Style::Global, 1),
    ("int", Function::Int, Style::Global, 1),
    ("join", Function::Join, Style::Method, 2),
    ("lowerAscii", Function::LowerAscii, Style::Method, 1),
    ("max", Function::Max, Style::Global, 2),
    ("min", Function::Min, Style::Global, 2),
    ("number", Function::Number, Style::Global, 1),
    ("replace", Function::Replace, Style::Method, 3),
    ("size", Function::Size, Style::Both, 1),
    ("split", Function::Split, Style::Method, 2),
    ("startsWith", Function::StartsWith, Style::Method, 2),
    ("string", Function::Text, Style::Global, 1),
    ("trim", Function::Trim, Style::Method, 1),
    ("upperAscii", Function::UpperAscii, Style::Method, 1),
];

impl Function {
    /// As it is written: `+` or `size`.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        let name =
            FUNCTIONS.iter().find(|(_, function, ..)| *function == self).map_or("", |row| row.0);
        match self {
            Self::Index => "[]",
            Self::In => "in",
            _ => name.trim_matches('_'),
        }
    }
}
