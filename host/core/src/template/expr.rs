//! A compiled expression.

use serde_json::Value;

use super::{
    filters::{Filter, Test},
    value::Key,
};

/// An expression, ready to be evaluated any number of times.
#[derive(Debug)]
pub(super) enum Expr {
    Const(Value),
    /// A name and what lies below it: the common case.
    Path(Path),
    /// A subscript of something that is no plain path.
    Key(Box<Self>, Key),
    /// A computed subscript.
    Item(Box<Self>, Box<Self>),
    Slice(Box<Slice>),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If(Box<If>),
    Math(Math, Box<Self>, Box<Self>),
    Concat(Box<Self>, Box<Self>),
    /// `a < b <= c`.
    Compare(Box<Self>, Vec<(Comparison, Self)>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Range(Vec<Self>),
    Filter(&'static Filter, Box<Self>, Args),
    /// `map('upper')`.
    Map1(&'static Filter, Box<Self>, Args),
    Test(&'static Test, Box<Self>, Args),
    /// `select`, `reject`, `selectattr`, `rejectattr`.
    Select(Box<Select>),
}

/// One per parameter; none where it was left out.
pub(super) type Args = Vec<Option<Expr>>;

#[derive(Debug)]
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) keys: Vec<Key>,
}

/// What a name stands for. Steps and extra roots are numbered per template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Input,
    Step(usize),
    Extra(usize),
}

#[derive(Debug)]
pub(super) struct Slice {
    pub(super) of: Expr,
    pub(super) start: Option<Expr>,
    pub(super) stop: Option<Expr>,
    pub(super) step: Option<Expr>,
}

#[derive(Debug)]
pub(super) struct If {
    pub(super) condition: Expr,
    pub(super) then: Expr,
    pub(super) otherwise: Expr,
}

#[derive(Debug)]
pub(super) struct Select {
    pub(super) of: Expr,
    /// The attribute to test; none for the item itself.
    pub(super) attribute: Option<Expr>,
    /// None tests for truth.
    pub(super) test: Option<(&'static Test, Args)>,
    /// `reject` keeps what fails.
    pub(super) keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Math {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

impl Math {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Remainder => "%",
            Self::Power => "**",
        }
    }
}
