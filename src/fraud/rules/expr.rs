//! A condition, typed and resolved, and its evaluation. A missing value makes a comparison neither true nor false; so
//! does anything that depends on it, unless the other side decides. Only what is true matches.

use super::super::lists::List;
use super::super::request::{self, Request};
use crate::clock::UnixMs;
use crate::window::sliding;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    Field(usize),
    Window(usize),
    ModelScore,
    RiskScore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    Above,
    AtLeast,
}

impl Op {
    /// The operator with its sides swapped.
    pub fn turned(self) -> Op {
        match self {
            Op::Less => Op::Above,
            Op::AtMost => Op::AtLeast,
            Op::Above => Op::Less,
            Op::AtLeast => Op::AtMost,
            same => same,
        }
    }

    pub fn negated(self) -> Op {
        match self {
            Op::Equal => Op::Unequal,
            Op::Unequal => Op::Equal,
            Op::Less => Op::AtLeast,
            Op::AtMost => Op::Above,
            Op::Above => Op::AtMost,
            Op::AtLeast => Op::Less,
        }
    }

    pub fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Op::Equal => a == b,
            Op::Unequal => a != b,
            Op::Less => a < b,
            Op::AtMost => a <= b,
            Op::Above => a > b,
            Op::AtLeast => a >= b,
        }
    }
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    Literal(f64),
    Of(Name),
    Negated(Box<Number>),
    Sum(Box<(Number, Number)>),
    Difference(Box<(Number, Number)>),
    Product(Box<(Number, Number)>),
    Quotient(Box<(Number, Number)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    Literal(Box<str>),
    Of(Name),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Begins,
    Ends,
    Contains,
}

impl Part {
    pub fn is_in(self, text: &str, of: &str) -> bool {
        match self {
            Part::Begins => text.starts_with(of),
            Part::Ends => text.ends_with(of),
            Part::Contains => text.contains(of),
        }
    }
}

/// Something that is true, false or neither.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Literal(bool),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    Numbers(Op, Number, Number),
    /// Equal or not.
    Texts(bool, Text, Text),
    Missing(Name),
    HasPart(Part, Text, Box<str>),
    InTexts(Text, Vec<Box<str>>),
    InNumbers(Number, Vec<f64>),
    /// Position among the lists that the ruleset names.
    InList(Text, usize),
}

/// What a condition is evaluated over.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub request: &'a Request,
    pub windows: &'a [sliding::Value],
    /// NaN where there is no model.
    pub model_score: f64,
    pub risk_score: i64,
    pub lists: &'a [Arc<List>],
    pub now: UnixMs,
}

impl View<'_> {
    /// NaN where there is none.
    #[inline]
    pub fn number(&self, name: Name) -> f64 {
        match name {
            Name::Field(field) => self.request.int(field).map_or(f64::NAN, |value| value as f64),
            Name::Window(window) => self.windows.get(window).map_or(f64::NAN, |value| value.as_f64()),
            Name::ModelScore => self.model_score,
            Name::RiskScore => self.risk_score as f64,
        }
    }

    fn is_missing(&self, name: Name) -> bool {
        match name {
            Name::Field(field) => self.request.get(field) == request::Value::Null,
            name => self.number(name).is_nan(),
        }
    }
}

impl Number {
    pub fn value(&self, view: &View) -> f64 {
        match self {
            Number::Literal(value) => *value,
            Number::Of(name) => view.number(*name),
            Number::Negated(number) => -number.value(view),
            Number::Sum(sides) => sides.0.value(view) + sides.1.value(view),
            Number::Difference(sides) => sides.0.value(view) - sides.1.value(view),
            Number::Product(sides) => sides.0.value(view) * sides.1.value(view),
            Number::Quotient(sides) => match sides.1.value(view) {
                0.0 => f64::NAN,
                by => sides.0.value(view) / by,
            },
        }
    }
}

impl Text {
    fn value<'t>(&'t self, view: &View<'t>) -> Option<&'t str> {
        match self {
            Text::Literal(text) => Some(text),
            Text::Of(Name::Field(field)) => match view.request.get(*field) {
                request::Value::Text(text) => Some(text),
                _ => None,
            },
            Text::Of(_) => None,
        }
    }
}

impl Expr {
    pub fn value(&self, view: &View) -> Option<bool> {
        match self {
            Expr::Literal(value) => Some(*value),
            Expr::All(parts) => decided(parts, view, false),
            Expr::Any(parts) => decided(parts, view, true),
            Expr::Not(part) => part.value(view).map(|value| !value),
            Expr::Numbers(op, a, b) => {
                let (a, b) = (a.value(view), b.value(view));
                (!a.is_nan() && !b.is_nan()).then(|| op.holds(a, b))
            }
            Expr::Texts(equal, a, b) => Some((a.value(view)? == b.value(view)?) == *equal),
            Expr::Missing(name) => Some(view.is_missing(*name)),
            Expr::HasPart(part, text, of) => {
                let text = text.value(view)?;
                Some(part.is_in(text, of))
            }
            Expr::InTexts(text, texts) => {
                let text = text.value(view)?;
                Some(texts.iter().any(|other| **other == *text))
            }
            Expr::InNumbers(number, numbers) => {
                let number = number.value(view);
                (!number.is_nan()).then(|| numbers.contains(&number))
            }
            Expr::InList(text, list) => Some(view.lists.get(*list)?.holds(text.value(view)?, view.now)),
        }
    }
}

impl Expr {
    /// The first comparison of a name with a number that made the condition come out as `wanted`; NaN stands for several numbers.
    pub fn why(&self, wanted: bool, view: &View) -> Option<(Name, f64)> {
        let held = |expr: &Expr| expr.value(view) == Some(wanted);
        match self {
            Expr::All(parts) | Expr::Any(parts) => {
                parts.iter().filter(|part| held(part)).find_map(|part| part.why(wanted, view))
            }
            Expr::Not(part) => part.why(!wanted, view),
            Expr::Numbers(_, Number::Of(name), other) | Expr::Numbers(_, other, Number::Of(name)) if held(self) => {
                Some((*name, other.value(view)))
            }
            Expr::InNumbers(Number::Of(name), _) if held(self) => Some((*name, f64::NAN)),
            _ => None,
        }
    }
}

/// A comparison of a name with a number that has to hold for a condition to hold. Where there is one it is asked for first:
/// most rules do not match, and few instructions tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    name: Name,
    than: f64,
    /// Whether it holds for what is less, equal, and above. A missing value is none of them.
    holds: [bool; 3],
}

impl Guard {
    pub fn of(expr: &Expr) -> Option<Guard> {
        let (op, name, than) = match expr {
            Expr::All(parts) => return parts.iter().find_map(Guard::of),
            Expr::Numbers(op, Number::Of(name), Number::Literal(than)) => (*op, *name, *than),
            Expr::Numbers(op, Number::Literal(than), Number::Of(name)) => (op.turned(), *name, *than),
            _ => return None,
        };
        Some(Guard { name, than, holds: [-1, 0, 1].map(|side| op.holds(side, 0)) })
    }

    #[inline]
    pub fn holds(&self, view: &View) -> bool {
        let (value, [below, equal, above]) = (view.number(self.name), self.holds);
        (value < self.than) & below | (value == self.than) & equal | (value > self.than) & above
    }
}

/// What `decides` alone decides; otherwise the other, if all are known.
fn decided(parts: &[Expr], view: &View, decides: bool) -> Option<bool> {
    let mut known = true;
    for part in parts {
        match part.value(view) {
            Some(value) if value == decides => return Some(decides),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(!decides)
}
