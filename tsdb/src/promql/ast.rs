//! The tree of a query: ours, not the parser's.
//!
//! Every expression knows its place in the text, for annotations. A tree that left [`super::parse`] is well typed: the
//! evaluator relies on it.

use std::ops::Range;

use super::duration::DurationExpr;
use super::functions::Function;
use crate::series::{METRIC_NAME, MatchOp, Matcher};

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// Bytes of the text it covers.
    pub span: Range<usize>,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// `name{…} offset … @ …`
    Selector(Selector),
    /// `name{…}[range] offset … @ …`
    Range {
        /// What is selected.
        selector: Selector,
        /// How far back.
        range: DurationExpr,
    },
    /// `expr[range:step] offset … @ …`
    Subquery {
        /// What is evaluated at each step.
        expr: Box<Expr>,
        /// How far back.
        range: DurationExpr,
        /// Between two evaluations; the default of the engine when absent.
        step: Option<DurationExpr>,
        /// When.
        when: When,
    },
    /// `f(…)`
    Call {
        /// Which.
        function: &'static Function,
        /// With what.
        args: Vec<Expr>,
    },
    /// `sum by (…) (…)`
    Aggregate {
        /// How.
        op: AggregateOp,
        /// `k`, the quantile, the label.
        param: Option<Box<Expr>>,
        /// Of what.
        expr: Box<Expr>,
        /// By which labels.
        grouping: Grouping,
    },
    /// `a op b`
    Binary {
        /// Which.
        op: BinaryOp,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
        /// `bool`: 0 and 1 instead of filtering.
        to_bool: bool,
        /// How vectors meet.
        matching: Matching,
    },
    /// `-x`
    Negate(Box<Expr>),
    /// `(x)`
    Paren(Box<Expr>),
}

/// Which series.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The name, when it stands before the braces; it is among the matchers too, as the last.
    pub name: Option<String>,
    /// All conditions.
    pub matchers: Vec<Matcher>,
    /// When.
    pub when: When,
}

/// `offset` and `@`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct When {
    /// How much earlier.
    pub offset: Option<DurationExpr>,
    /// At which time instead of that of the step.
    pub at: Option<At>,
}

/// `@`
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// Unix milliseconds.
    Time(i64),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// How a vector is aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in PromQL")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All, with their names.
    pub const ALL: [(&'static str, AggregateOp); 14] = [
        ("sum", AggregateOp::Sum),
        ("avg", AggregateOp::Avg),
        ("min", AggregateOp::Min),
        ("max", AggregateOp::Max),
        ("count", AggregateOp::Count),
        ("group", AggregateOp::Group),
        ("stddev", AggregateOp::Stddev),
        ("stdvar", AggregateOp::Stdvar),
        ("topk", AggregateOp::Topk),
        ("bottomk", AggregateOp::Bottomk),
        ("quantile", AggregateOp::Quantile),
        ("count_values", AggregateOp::CountValues),
        ("limitk", AggregateOp::Limitk),
        ("limit_ratio", AggregateOp::LimitRatio),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// Whether whole series are chosen instead of values computed.
    pub fn chooses(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::Limitk | Self::LimitRatio)
    }
}

/// By which labels groups are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// The labels.
    pub labels: Vec<String>,
    /// All labels but these.
    pub without: bool,
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in arithmetic")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// All, with how they are written.
    pub const ALL: [(&'static str, BinaryOp); 16] = [
        ("+", BinaryOp::Add),
        ("-", BinaryOp::Sub),
        ("*", BinaryOp::Mul),
        ("/", BinaryOp::Div),
        ("%", BinaryOp::Mod),
        ("^", BinaryOp::Pow),
        ("atan2", BinaryOp::Atan2),
        ("==", BinaryOp::Equal),
        ("!=", BinaryOp::NotEqual),
        ("<", BinaryOp::Less),
        ("<=", BinaryOp::LessOrEqual),
        (">", BinaryOp::Greater),
        (">=", BinaryOp::GreaterOrEqual),
        ("and", BinaryOp::And),
        ("or", BinaryOp::Or),
        ("unless", BinaryOp::Unless),
    ];

    /// How it is written.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// Whether it compares.
    pub fn compares(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// Whether it is `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How many series of each side meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Card {
    /// One and one.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the series of two vectors find each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matching {
    /// How many.
    pub card: Card,
    /// `on(…)`: these labels only; else all labels but these.
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// Labels taken over from the "one" side.
    pub include: Vec<String>,
}

/// What an expression yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// One number per step.
    Scalar,
    /// Many series, one number each per step.
    Vector,
    /// Many series, many numbers each.
    Matrix,
    /// A text.
    Text,
}

impl Type {
    /// As Prometheus documents it.
    pub fn documented(self) -> &'static str {
        match self {
            Type::Scalar => "scalar",
            Type::Vector => "instant vector",
            Type::Matrix => "range vector",
            Type::Text => "string",
        }
    }
}

impl Expr {
    /// What it yields.
    pub fn value_type(&self) -> Type {
        match &self.node {
            Node::Number(_) => Type::Scalar,
            Node::Text(_) => Type::Text,
            Node::Selector(_) | Node::Aggregate { .. } => Type::Vector,
            Node::Range { .. } | Node::Subquery { .. } => Type::Matrix,
            Node::Call { function, .. } => function.returns,
            Node::Negate(inner) | Node::Paren(inner) => inner.value_type(),
            Node::Binary { left, right, .. } => {
                if left.value_type() == Type::Scalar && right.value_type() == Type::Scalar {
                    Type::Scalar
                } else {
                    Type::Vector
                }
            }
        }
    }

    /// Itself without parentheses around it.
    pub fn bare(&self) -> &Expr {
        match &self.node {
            Node::Paren(inner) => inner.bare(),
            _ => self,
        }
    }

    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.bare().node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// All selectors below.
    pub fn selectors<'a>(&'a self, visit: &mut dyn FnMut(&'a Selector)) {
        match &self.node {
            Node::Selector(selector) | Node::Range { selector, .. } => visit(selector),
            Node::Number(_) | Node::Text(_) => {}
            Node::Subquery { expr, .. } | Node::Negate(expr) | Node::Paren(expr) => expr.selectors(visit),
            Node::Call { args, .. } => args.iter().for_each(|arg| arg.selectors(visit)),
            Node::Aggregate { param, expr, .. } => {
                if let Some(param) = param {
                    param.selectors(visit);
                }
                expr.selectors(visit);
            }
            Node::Binary { left, right, .. } => {
                left.selectors(visit);
                right.selectors(visit);
            }
        }
    }
}

impl Selector {
    /// The name that `=` asks for, from before the braces or from within.
    pub fn exact_name(&self) -> Option<&str> {
        self.matchers
            .iter()
            .find(|matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal)
            .map(|matcher| matcher.value.as_str())
    }
}
