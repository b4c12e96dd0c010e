//! Conditions that can never hold: what they say of one name contradicts itself or what the name can be.

use std::collections::BTreeMap;

use super::super::lists::Kind;
use super::Names;
use super::expr::{Expr, Name, Number, Op, Part, Text};

/// Alternatives looked at; a condition with more of them is taken for possible.
const MAX_CASES: usize = 256;

/// Numbers that a name may still be.
#[derive(Clone)]
struct Span {
    least: f64,
    most: f64,
    /// Whether the bounds themselves are out.
    above: bool,
    below: bool,
    whole: bool,
    /// One of these, where that is said; and none of those.
    of: Option<Vec<f64>>,
    barred: Vec<f64>,
}

impl Span {
    fn narrow(&mut self, op: Op, value: f64) {
        match op {
            Op::Equal => self.keep(&[value]),
            Op::Unequal => self.barred.push(value),
            Op::Above | Op::AtLeast => {
                if (value, op == Op::Above) > (self.least, self.above) {
                    (self.least, self.above) = (value, op == Op::Above);
                }
            }
            Op::Less | Op::AtMost => {
                if value < self.most || value == self.most && op == Op::Less {
                    (self.most, self.below) = (value, op == Op::Less);
                }
            }
        }
    }

    fn keep(&mut self, of: &[f64]) {
        match &mut self.of {
            Some(left) => left.retain(|value| of.contains(value)),
            None => self.of = Some(of.to_vec()),
        }
    }

    fn takes(&self, value: f64) -> bool {
        let high_enough = value > self.least || value == self.least && !self.above;
        let low_enough = value < self.most || value == self.most && !self.below;
        high_enough && low_enough && !(self.whole && value.fract() != 0.0) && !self.barred.contains(&value)
    }

    fn is_empty(&self) -> bool {
        if let Some(of) = &self.of {
            return !of.iter().any(|value| self.takes(*value));
        }
        if !self.whole {
            return self.least > self.most || self.least == self.most && !self.takes(self.least);
        }
        let least = if self.above { self.least.floor() + 1.0 } else { self.least.ceil() };
        let most = if self.below { self.most.ceil() - 1.0 } else { self.most.floor() };
        // With as many numbers as are barred one is left, unless they are these.
        let count = most - least + 1.0;
        count <= 0.0
            || count <= self.barred.len() as f64 && (0..count as u32).all(|i| !self.takes(least + f64::from(i)))
    }
}

/// Texts that a name may still be.
#[derive(Default)]
struct Texts<'e> {
    of: Option<Vec<&'e str>>,
    barred: Vec<&'e str>,
    parts: Vec<(Part, &'e str, bool)>,
    /// Lists that it is in, or not.
    lists: Vec<(usize, bool)>,
}

impl<'e> Texts<'e> {
    fn keep(&mut self, of: &[&'e str]) {
        match &mut self.of {
            Some(left) => left.retain(|text| of.contains(text)),
            None => self.of = Some(of.to_vec()),
        }
    }

    fn is_empty(&self, name: Name, names: &Names) -> bool {
        let takes = |text: &&str| {
            names.can_be(name, text)
                && !self.barred.contains(text)
                && self.parts.iter().all(|(part, of, holds)| part.is_in(text, of) == *holds)
        };
        let twice = |(list, holds): &(usize, bool)| self.lists.contains(&(*list, !holds));
        self.of.as_ref().is_some_and(|of| !of.iter().any(takes)) || self.lists.iter().any(twice)
    }
}

/// One thing that must hold, or must not.
type Fact<'e> = (&'e Expr, bool);

/// Whether the condition can never be true. `lists` are those that rules have named so far.
pub fn never_holds(expr: &Expr, names: &Names, lists: &[String]) -> bool {
    match cases(expr, true) {
        Some(cases) => cases.iter().all(|case| contradicts(case, names, lists)),
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

/// What a number is that asks for no name; NaN of what has no value.
fn constant(number: &Number) -> Option<f64> {
    let both = |sides: &(Number, Number)| Some((constant(&sides.0)?, constant(&sides.1)?));
    Some(match number {
        Number::Literal(value) => *value,
        Number::Of(_) => return None,
        Number::Negated(of) => -constant(of)?,
        Number::Sum(sides) => both(sides).map(|(a, b)| a + b)?,
        Number::Difference(sides) => both(sides).map(|(a, b)| a - b)?,
        Number::Product(sides) => both(sides).map(|(a, b)| a * b)?,
        Number::Quotient(sides) => both(sides).map(|(a, b)| if b == 0.0 { f64::NAN } else { a / b })?,
    })
}

#[derive(Default)]
struct Known<'e> {
    spans: BTreeMap<Name, Span>,
    texts: BTreeMap<Name, Texts<'e>>,
    missing: Vec<Name>,
    present: Vec<Name>,
}

impl<'e> Known<'e> {
    fn number(&mut self, name: Name, names: &Names) -> &mut Span {
        self.present.push(name);
        self.spans.entry(name).or_insert_with(|| {
            let (least, most, whole) = names.bounds(name);
            Span { least, most, above: false, below: false, whole, of: None, barred: Vec::new() }
        })
    }

    fn text(&mut self, name: Name) -> &mut Texts<'e> {
        self.present.push(name);
        self.texts.entry(name).or_default()
    }

    /// Takes a comparison in; whether it can hold by itself.
    fn compare(&mut self, op: Op, a: &Number, b: &Number, names: &Names) -> bool {
        match (a, b, constant(a), constant(b)) {
            (_, _, Some(a), Some(b)) => return !a.is_nan() && !b.is_nan() && op.holds(a, b),
            (_, _, Some(value), _) | (_, _, _, Some(value)) if value.is_nan() => return false,
            (Number::Of(name), _, _, Some(value)) => self.number(*name, names).narrow(op, value),
            (_, Number::Of(name), Some(value), _) => self.number(*name, names).narrow(op.turned(), value),
            (Number::Of(a), Number::Of(b), ..) if a == b => {
                self.present.push(*a);
                return op.holds(0, 0);
            }
            _ => {}
        }
        true
    }
}

fn contradicts(case: &[Fact], names: &Names, lists: &[String]) -> bool {
    let mut known = Known::default();
    for (fact, holds) in case {
        let possible = match fact {
            Expr::Literal(value) => value == holds,
            Expr::Numbers(op, a, b) => known.compare(if *holds { *op } else { op.negated() }, a, b, names),
            Expr::InNumbers(number, values) => match (number, constant(number)) {
                (_, Some(value)) => !value.is_nan() && values.contains(&value) == *holds,
                (Number::Of(name), None) => {
                    let span = known.number(*name, names);
                    if *holds {
                        span.keep(values)
                    } else {
                        span.barred.extend(values)
                    }
                    true
                }
                _ => true,
            },
            Expr::Texts(equal, Text::Literal(a), Text::Literal(b)) => ((a == b) == *equal) == *holds,
            Expr::Texts(equal, Text::Of(a), Text::Of(b)) => {
                known.present.extend([*a, *b]);
                a != b || equal == holds
            }
            Expr::Texts(equal, Text::Of(name), Text::Literal(text))
            | Expr::Texts(equal, Text::Literal(text), Text::Of(name)) => {
                let texts = known.text(*name);
                if equal == holds {
                    texts.keep(&[text])
                } else {
                    texts.barred.push(text)
                }
                true
            }
            Expr::InTexts(Text::Literal(text), of) => of.contains(text) == *holds,
            Expr::InTexts(Text::Of(name), of) => {
                let of: Vec<&str> = of.iter().map(|text| &**text).collect();
                let texts = known.text(*name);
                if *holds {
                    texts.keep(&of)
                } else {
                    texts.barred.extend(of)
                }
                true
            }
            Expr::HasPart(part, Text::Of(name), of) => {
                known.text(*name).parts.push((*part, of, *holds));
                !*holds || names.can_have(*name, of)
            }
            Expr::HasPart(part, Text::Literal(text), of) => part.is_in(text, of) == *holds,
            Expr::InList(Text::Of(name), list) => {
                known.text(*name).lists.push((*list, *holds));
                let kind = lists.get(*list).and_then(|list| names.kind_of(list));
                !*holds || kind.is_none_or(|kind| can_be_in(names.text(*name), kind))
            }
            // Taken apart in [`cases`].
            Expr::All(_) | Expr::Any(_) | Expr::Not(_) | Expr::InList(Text::Literal(_), _) => true,
            Expr::Missing(name) => {
                if *holds { &mut known.missing } else { &mut known.present }.push(*name);
                !(*holds && names.is_always_there(*name))
            }
        };
        if !possible {
            return true;
        }
    }
    known.spans.values().any(Span::is_empty)
        || known.texts.iter().any(|(name, texts)| texts.is_empty(*name, names))
        || known.missing.iter().any(|name| known.present.contains(name))
}

/// Whether what a field holds can be in a list of this kind.
fn can_be_in(field: &str, kind: Kind) -> bool {
    match kind {
        Kind::Exact => true,
        Kind::Cidr => field == "device.ip",
        Kind::Bin => field == "payment_method.card.bin",
        Kind::Domain => ["customer.email", "customer.email_domain"].contains(&field),
    }
}
