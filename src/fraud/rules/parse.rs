//! Tokens into a typed condition. The grammar is a part of the Common Expression Language: `||`, `&&`, `!`, comparisons,
//! `in`, arithmetic, brackets, numbers, texts, `true`, `false`, `null`, and `startsWith`, `endsWith`, `contains`.

use super::super::canonical;
use super::Names;
use super::expr::{Expr, Name, Number, Op, Part, Text};
use super::lex::{Token, tokens};

/// Brackets within brackets: evaluation is recursive.
const MAX_DEPTH: usize = 64;
const MAX_BYTES: usize = 8 << 10;

/// Something with a type.
enum Typed {
    Bool(Expr),
    Number(Number),
    Text(Text),
    Null,
}

impl Typed {
    fn is(&self) -> &'static str {
        match self {
            Typed::Bool(_) => "a condition",
            Typed::Number(_) => "a number",
            Typed::Text(_) => "a text",
            Typed::Null => "null",
        }
    }
}

type Fail = (usize, String);

struct Parser<'p> {
    tokens: Vec<(usize, Token)>,
    at: usize,
    end: usize,
    depth: usize,
    names: &'p Names<'p>,
    lists: &'p mut Vec<String>,
}

/// Reads a condition. Lists that it names are added to `lists`.
pub fn parse(text: &str, names: &Names, lists: &mut Vec<String>) -> Result<Expr, String> {
    let fail = |(at, message): Fail| {
        let column = text.get(..at).map_or(at, |before| before.chars().count()) + 1;
        format!("column {column}: {message}")
    };
    if text.len() > MAX_BYTES {
        return Err(format!("has more than {MAX_BYTES} bytes"));
    }
    let tokens = tokens(text).map_err(fail)?;
    let mut parser = Parser { tokens, at: 0, end: text.len(), depth: 0, names, lists };
    let expr = parser.any().and_then(|typed| parser.condition(typed)).map_err(fail)?;
    match parser.tokens.get(parser.at) {
        None => Ok(expr),
        Some((at, token)) => Err(fail((*at, format!("{} is not expected here", told(token))))),
    }
}

fn told(token: &Token) -> String {
    match token {
        Token::Name(name) => name.clone(),
        Token::Number(number) => number.to_string(),
        Token::Text(text) => format!("{text:?}"),
        Token::Sign(sign) => (*sign).to_owned(),
    }
}

impl Parser<'_> {
    fn here(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(at, _)| *at)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Fail> {
        Err((self.here(), message.into()))
    }

    fn sign(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        let Some((_, Token::Sign(sign))) = self.tokens.get(self.at) else { return None };
        let found = wanted.iter().find(|wanted| *wanted == sign)?;
        self.at += 1;
        Some(found)
    }

    fn must_have(&mut self, sign: &'static str) -> Result<(), Fail> {
        match self.sign(&[sign]) {
            Some(_) => Ok(()),
            None => self.fail(format!("{sign} is missing")),
        }
    }

    fn condition(&self, typed: Typed) -> Result<Expr, Fail> {
        match typed {
            Typed::Bool(expr) => Ok(expr),
            other => self.fail(format!("a condition must stand before this, not {}", other.is())),
        }
    }

    fn number(&self, typed: Typed) -> Result<Number, Fail> {
        match typed {
            Typed::Number(number) => Ok(number),
            other => self.fail(format!("a number must stand before this, not {}", other.is())),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fail>) -> Result<T, Fail> {
        if self.depth == MAX_DEPTH {
            return self.fail(format!("nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn any(&mut self) -> Result<Typed, Fail> {
        self.joined("||", Parser::all, Expr::Any)
    }

    fn all(&mut self) -> Result<Typed, Fail> {
        self.joined("&&", Parser::relation, Expr::All)
    }

    fn joined(
        &mut self,
        sign: &'static str,
        part: fn(&mut Self) -> Result<Typed, Fail>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Result<Typed, Fail> {
        let first = part(self)?;
        if self.tokens.get(self.at).map(|(_, token)| token) != Some(&Token::Sign(sign)) {
            return Ok(first);
        }
        let mut parts = vec![self.condition(first)?];
        while self.sign(&[sign]).is_some() {
            let next = part(self)?;
            parts.push(self.condition(next)?);
        }
        Ok(Typed::Bool(join(parts)))
    }

    fn relation(&mut self) -> Result<Typed, Fail> {
        let left = self.sum()?;
        if let Some((_, Token::Name(name))) = self.tokens.get(self.at)
            && name == "in"
        {
            self.at += 1;
            return self.is_in(left).map(Typed::Bool);
        }
        let Some(sign) = self.sign(&["==", "!=", "<=", ">=", "<", ">"]) else { return Ok(left) };
        let op = match sign {
            "==" => Op::Equal,
            "!=" => Op::Unequal,
            "<=" => Op::AtMost,
            ">=" => Op::AtLeast,
            "<" => Op::Less,
            _ => Op::Above,
        };
        let at = self.here();
        let right = self.sum()?;
        let equality = matches!(op, Op::Equal | Op::Unequal);
        let missing = |name: Name| match op {
            Op::Equal => Expr::Missing(name),
            _ => Expr::Not(Box::new(Expr::Missing(name))),
        };
        Ok(Typed::Bool(match (left, right) {
            (Typed::Number(a), Typed::Number(b)) => Expr::Numbers(op, a, b),
            (Typed::Text(a), Typed::Text(b)) if equality => {
                let a = as_compared(&b, a);
                let b = as_compared(&a, b);
                Expr::Texts(op == Op::Equal, a, b)
            }
            (Typed::Number(Number::Of(name)) | Typed::Text(Text::Of(name)), Typed::Null)
            | (Typed::Null, Typed::Number(Number::Of(name)) | Typed::Text(Text::Of(name)))
                if equality =>
            {
                missing(name)
            }
            (Typed::Bool(a), Typed::Bool(Expr::Literal(b))) if equality => {
                if (op == Op::Equal) == b {
                    a
                } else {
                    Expr::Not(Box::new(a))
                }
            }
            (a, b) => return Err((at, format!("{} and {} cannot be compared with {sign}", a.is(), b.is()))),
        }))
    }

    fn is_in(&mut self, left: Typed) -> Result<Expr, Fail> {
        if let Some((at, Token::Name(name))) = self.tokens.get(self.at)
            && let Some(list) = name.strip_prefix("lists.")
        {
            let (at, list) = (*at, list.to_owned());
            self.at += 1;
            let Typed::Text(text) = left else { return Err((at, format!("lists hold texts, not {}", left.is()))) };
            if self.names.kind_of(&list).is_none() {
                return Err((at, format!("there is no list {list}")));
            }
            let place = self.lists.iter().position(|other| *other == list).unwrap_or_else(|| {
                self.lists.push(list);
                self.lists.len() - 1
            });
            return Ok(Expr::InList(text, place));
        }
        self.must_have("[")?;
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        loop {
            match self.tokens.get(self.at) {
                Some((_, Token::Text(text))) => texts.push(text.as_str().into()),
                Some((_, Token::Number(number))) => numbers.push(*number),
                _ => return self.fail("a text or a number in a list is expected"),
            }
            self.at += 1;
            if self.sign(&[","]).is_none() {
                break;
            }
        }
        self.must_have("]")?;
        match left {
            Typed::Text(text) if numbers.is_empty() => {
                if let Text::Of(Name::Field(field)) = text {
                    texts.iter_mut().for_each(|other: &mut Box<str>| *other = canonical::of(field, other).into());
                }
                Ok(Expr::InTexts(text, texts))
            }
            Typed::Number(number) if texts.is_empty() => Ok(Expr::InNumbers(number, numbers)),
            other => self.fail(format!("{} cannot be in this list", other.is())),
        }
    }

    fn sum(&mut self) -> Result<Typed, Fail> {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            let a = self.number(left)?;
            let right = self.product()?;
            let sides = Box::new((a, self.number(right)?));
            left = Typed::Number(if sign == "+" { Number::Sum(sides) } else { Number::Difference(sides) });
            self.grown()?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Typed, Fail> {
        let mut left = self.unary()?;
        while let Some(sign) = self.sign(&["*", "/"]) {
            let a = self.number(left)?;
            let right = self.unary()?;
            let sides = Box::new((a, self.number(right)?));
            left = Typed::Number(if sign == "*" { Number::Product(sides) } else { Number::Quotient(sides) });
            self.grown()?;
        }
        Ok(left)
    }

    /// A chain of operators leans to the left: it is as deep as it is long.
    fn grown(&self) -> Result<(), Fail> {
        if self.at > 40 * MAX_DEPTH { self.fail("too long") } else { Ok(()) }
    }

    fn unary(&mut self) -> Result<Typed, Fail> {
        match self.sign(&["!", "-"]) {
            Some("!") => {
                let of = self.deeper(Parser::unary)?;
                Ok(Typed::Bool(Expr::Not(Box::new(self.condition(of)?))))
            }
            Some(_) => {
                let of = self.deeper(Parser::unary)?;
                Ok(Typed::Number(match self.number(of)? {
                    Number::Literal(value) => Number::Literal(-value),
                    other => Number::Negated(Box::new(other)),
                }))
            }
            None => self.primary(),
        }
    }

    fn primary(&mut self) -> Result<Typed, Fail> {
        if self.sign(&["("]).is_some() {
            let inner = self.deeper(Parser::any)?;
            self.must_have(")")?;
            return Ok(inner);
        }
        let Some((at, token)) = self.tokens.get(self.at).cloned() else {
            return self.fail("something is missing at the end");
        };
        self.at += 1;
        match token {
            Token::Number(value) => Ok(Typed::Number(Number::Literal(value))),
            Token::Text(text) => Ok(Typed::Text(Text::Literal(text.into()))),
            Token::Sign(sign) => Err((at, format!("{sign} is not expected here"))),
            Token::Name(name) => match name.as_str() {
                "true" => Ok(Typed::Bool(Expr::Literal(true))),
                "false" => Ok(Typed::Bool(Expr::Literal(false))),
                "null" => Ok(Typed::Null),
                name => self.name(at, name),
            },
        }
    }

    fn name(&mut self, at: usize, name: &str) -> Result<Typed, Fail> {
        if let Some((of, method)) = name.rsplit_once('.')
            && self.sign(&["("]).is_some()
        {
            let part = match method {
                "startsWith" => Part::Begins,
                "endsWith" => Part::Ends,
                "contains" => Part::Contains,
                _ => return Err((at, format!("there is no {method}()"))),
            };
            let Some((_, Token::Text(text))) = self.tokens.get(self.at).cloned() else {
                return self.fail("a text in quotes is expected");
            };
            self.at += 1;
            self.must_have(")")?;
            return match self.names.find(of) {
                Some((name, true)) => {
                    let text = match name {
                        Name::Field(field) => canonical::part(field, &text).into(),
                        _ => text.into(),
                    };
                    Ok(Typed::Bool(Expr::HasPart(part, Text::Of(name), text)))
                }
                Some(_) => Err((at, format!("{of} is not a text"))),
                None => Err((at, unknown(of))),
            };
        }
        match self.names.find(name) {
            Some((name, true)) => Ok(Typed::Text(Text::Of(name))),
            Some((name, false)) => Ok(Typed::Number(Number::Of(name))),
            None if name.starts_with("lists.") => Err((at, format!("{name} is a list: write `... in {name}`"))),
            None => Err((at, unknown(name))),
        }
    }
}

/// A text that stands in a rule, as the field has it that it is compared with.
fn as_compared(with: &Text, text: Text) -> Text {
    match (with, &text) {
        (Text::Of(Name::Field(field)), Text::Literal(literal)) => Text::Literal(canonical::of(*field, literal).into()),
        _ => text,
    }
}

fn unknown(name: &str) -> String {
    format!("{name} is not known: a field of a check, a window's name, model.score or risk_score is expected")
}
