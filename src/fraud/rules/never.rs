//! Conditions that can never hold: what they say of one name contradicts itself or what the name can be.

use std::collections::BTreeMap;

use super::Names;
use super::expr::{Expr, Name, Number, Op, Text};

/// Alternatives looked at; a condition with more of them is taken for possible.
const MAX_CASES: usize = 256;

/// Numbers that a name may still be.
#[derive(Clone, Copy)]
struct Span {
    least: f64,
    most: f64,
    /// Whether the bounds themselves are out.
    above: bool,
    below: bool,
    whole: bool,
}

impl Span {
    fn narrow(&mut self, op: Op, value: f64) {
        if matches!(op, Op::Above | Op::AtLeast | Op::Equal) && (value, op == Op::Above) > (self.least, self.above) {
            (self.least, self.above) = (value, op == Op::Above);
        }
        if matches!(op, Op::Less | Op::AtMost | Op::Equal)
            && (value < self.most || value == self.most && op == Op::Less)
        {
            (self.most, self.below) = (value, op == Op::Less);
        }
    }

    fn is_empty(&self) -> bool {
        let (mut least, mut most, mut open) = (self.least, self.most, self.above || self.below);
        if self.whole {
            least = if self.above { least.floor() + 1.0 } else { least.ceil() };
            most = if self.below { most.ceil() - 1.0 } else { most.floor() };
            open = false;
        }
        least > most || least == most && open
    }
}

/// One thing that must hold, or must not.
type Fact<'e> = (&'e Expr, bool);

/// Whether the condition can never be true.
pub fn never_holds(expr: &Expr, names: &Names) -> bool {
    match cases(expr, true) {
        Some(cases) => cases.iter().all(|case| contradicts(case, names)),
        None => false,
    }
}

/// The ways in which it may come out as `wanted`; none if there are too many.
fn cases(expr: &Expr, wanted: bool) -> Option<Vec<Vec<Fact<'_>>>> {
    let (parts, together) = match expr {
        Expr::All(parts) => (parts, wanted),
        Expr::Any(parts) => (parts, !wanted),
        Expr::Not(part) => return cases(part, !wanted),
        other => return Some(vec![vec![(other, wanted)]]),
    };
    let mut all: Vec<Vec<Fact>> = if together { vec![Vec::new()] } else { Vec::new() };
    for part in parts {
        let these = cases(part, wanted)?;
        if together {
            let joined = all.iter().flat_map(|case| these.iter().map(move |more| [&case[..], &more[..]].concat()));
            all = joined.take(MAX_CASES + 1).collect();
        } else {
            all.extend(these);
        }
        if all.len() > MAX_CASES {
            return None;
        }
    }
    Some(all)
}

fn contradicts(case: &[Fact], names: &Names) -> bool {
    let mut spans: BTreeMap<Name, Span> = BTreeMap::new();
    let mut texts: BTreeMap<Name, Vec<&str>> = BTreeMap::new();
    let mut barred: Vec<(Name, &str)> = Vec::new();
    let (mut missing, mut present) = (Vec::new(), Vec::new());
    for (fact, holds) in case {
        match fact {
            Expr::Literal(value) if value != holds => return true,
            Expr::Numbers(op, Number::Literal(a), Number::Literal(b)) if op.holds(a, b) != *holds => return true,
            Expr::Numbers(op, Number::Of(name), Number::Literal(value)) => {
                present.push(*name);
                let op = if *holds { *op } else { op.negated() };
                span(&mut spans, *name, names).narrow(op, *value);
            }
            Expr::Numbers(op, Number::Literal(value), Number::Of(name)) => {
                present.push(*name);
                let op = if *holds { *op } else { op.negated() };
                span(&mut spans, *name, names).narrow(op.turned(), *value);
            }
            Expr::Numbers(op, Number::Of(a), Number::Of(b)) if a == b => {
                present.push(*a);
                if op.holds(0, 0) != *holds {
                    return true;
                }
            }
            Expr::InNumbers(Number::Of(name), values) if *holds => {
                present.push(*name);
                let possible = span(&mut spans, *name, names);
                if let Some(least) = values.iter().copied().reduce(f64::min) {
                    possible.narrow(Op::AtLeast, least);
                }
                if let Some(most) = values.iter().copied().reduce(f64::max) {
                    possible.narrow(Op::AtMost, most);
                }
            }
            Expr::Texts(equal, Text::Of(name), Text::Literal(text))
            | Expr::Texts(equal, Text::Literal(text), Text::Of(name)) => {
                present.push(*name);
                if equal == holds {
                    keep(&mut texts, *name, &[text]);
                } else {
                    barred.push((*name, text));
                }
            }
            Expr::InTexts(Text::Of(name), of) => {
                present.push(*name);
                let of: Vec<&str> = of.iter().map(|text| &**text).collect();
                if *holds {
                    keep(&mut texts, *name, &of);
                } else {
                    barred.extend(of.into_iter().map(|text| (*name, text)));
                }
            }
            Expr::Missing(name) => if *holds { &mut missing } else { &mut present }.push(*name),
            Expr::InList(Text::Of(name), _) | Expr::HasPart(_, Text::Of(name), _) => present.push(*name),
            _ => {}
        }
    }
    let none_left = |(name, texts): (&Name, &Vec<&str>)| texts.iter().all(|text| barred.contains(&(*name, text)));
    spans.values().any(Span::is_empty)
        || texts.iter().any(none_left)
        || missing.iter().any(|name| present.contains(name))
}

/// What is left of the texts that a name may be.
fn keep<'t>(texts: &mut BTreeMap<Name, Vec<&'t str>>, name: Name, of: &[&'t str]) {
    texts.entry(name).and_modify(|left| left.retain(|text| of.contains(text))).or_insert_with(|| of.to_vec());
}

fn span<'s>(spans: &'s mut BTreeMap<Name, Span>, name: Name, names: &Names) -> &'s mut Span {
    spans.entry(name).or_insert_with(|| {
        let (least, most, whole) = names.bounds(name);
        Span { least, most, above: false, below: false, whole }
    })
}
