//! A body member by member: its values into a request's, what is wrong with them, and card numbers wherever they stand.

use serde_json::{Number, Value};

use super::super::fields::{self, BODY, Kind, Node};
use super::super::pan::{holds_card_number, is_card_number_value};
use super::super::{Fault, MAX_FAULTS, MAX_POINTER};
use super::{MAX_ID, MAX_TEXT, Request, Slot};
use crate::clock::UnixMs;
use crate::json::{self, ScanError, Scanner};

/// Arrays and objects within each other: as many as serde_json takes.
const MAX_DEPTH: u8 = 127;
/// Of a phone number (ITU-T E.164 section 6): with more digits it may be a card's.
const PHONE_DIGITS: usize = 15;

/// Reads a whole body into a request that holds nothing yet; says why it is no JSON.
pub(super) fn body(body: &[u8], strict: bool, request: &mut Request) -> Result<(), String> {
    let at = At { node: Some(&BODY), below: Below::Known, place: Place::Whole, depth: 0 };
    let read = |s| {
        let mut reader = Reader { request, strict, s };
        reader.value(&at)?;
        reader.s.finish()
    };
    match Scanner::of_bytes(body).map(read) {
        Some(Ok(())) => Ok(()),
        _ => Err(why(body)),
    }
}

/// What a person is told of a body that is no JSON: in which line and column.
#[cold]
fn why(body: &[u8]) -> String {
    serde_json::from_slice::<Value>(body).map_or_else(|e| e.to_string(), |_| "it cannot be read".to_owned())
}

/// Where a value stands; written out only where something is wrong with it.
#[derive(Clone, Copy)]
enum Place<'p> {
    Whole,
    Member(&'p Place<'p>, &'p str),
    Element(&'p Place<'p>, i64),
}

impl Place<'_> {
    /// As a JSON pointer, as long as a fault's is.
    fn write(&self, out: &mut String) {
        match self {
            Place::Whole => {}
            Place::Member(of, key) => {
                of.write(out);
                if out.len() <= MAX_POINTER {
                    out.push('/');
                    out.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
            }
            Place::Element(of, at) => {
                of.write(out);
                out.push('/');
                out.push_str(&at.to_string());
            }
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        self.write(&mut pointer);
        pointer
    }
}

/// What a value stands below.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Known,
    /// An unknown or open name: only card numbers are looked for.
    Open,
    /// The list of items of the order.
    Items,
    /// A name that names something: what it holds may look like anything.
    Identifier,
}

/// Members of an item that say what it is. One in ten numbers of articles (GTIN) looks like a card number.
pub const ITEM_IDENTIFIERS: [&str; 5] = ["id", "sku", "gtin", "ean", "upc"];

/// What is known of the place of a value.
struct At<'p> {
    node: Option<&'static Node>,
    below: Below,
    place: Place<'p>,
    /// Arrays and objects around it.
    depth: u8,
}

impl At<'_> {
    fn field(&self) -> Option<(usize, Kind)> {
        self.node.and_then(|node| node.field)
    }
}

struct Reader<'r, 'b> {
    request: &'r mut Request,
    strict: bool,
    s: Scanner<'b>,
}

impl Reader<'_, '_> {
    fn value(&mut self, at: &At) -> Result<(), ScanError> {
        if let Some(text) = self.s.plain_string() {
            self.text(at, text);
            return Ok(());
        }
        match self.s.kind()? {
            json::Kind::String => {
                let text = self.s.string()?.decode();
                self.text(at, &text);
            }
            json::Kind::Number => self.number(at)?,
            json::Kind::Object => self.object(at)?,
            json::Kind::Array => self.list(at)?,
            json::Kind::Bool => {
                self.s.bool()?;
                self.wrong(at, "true or false");
            }
            json::Kind::Null => self.s.null()?,
        }
        Ok(())
    }

    fn object(&mut self, at: &At) -> Result<(), ScanError> {
        let depth = deeper(at)?;
        let is_leaf = at.field().is_some();
        let is_open = at.node.is_some_and(|node| node.open);
        while let Some(name) = self.s.name()? {
            let key = &*name.text.decode();
            let node = at.node.and_then(|node| node.child(&name));
            let is_number = node.is_none() && holds_card_number(key);
            // A pointer is part of an answer; where the name itself is the number it is not said which.
            let place = Place::Member(&at.place, if is_number { "(number)" } else { key });
            let below = match at.below {
                Below::Known if node.is_some_and(|node| !node.open) => Below::Known,
                Below::Items if ITEM_IDENTIFIERS.contains(&key) => Below::Identifier,
                _ => Below::Open,
            };
            if is_number {
                self.card_number(at);
            }
            let member = At { node, below, place, depth };
            if node.is_none() && at.below == Below::Known && !is_leaf && self.strict && !is_open {
                self.fault(&member, "is not a field of a check");
            }
            self.value(&member)?;
            if !self.s.surely_has_more_fields() && (self.s.take(b'}') || !self.s.has_more_fields()?) {
                break;
            }
        }
        if is_leaf {
            self.wrong(at, "an object");
        }
        Ok(())
    }

    fn list(&mut self, at: &At) -> Result<(), ScanError> {
        let depth = deeper(at)?;
        let is_list = matches!(at.field(), Some((_, Kind::List)));
        let below = if is_list { Below::Items } else { Below::Open };
        let mut count = 0;
        if self.s.starts(b'[', b']')? {
            loop {
                let place = Place::Element(&at.place, count);
                self.value(&At { node: None, below, place, depth })?;
                count += 1;
                if !self.s.take(b',') && !self.s.goes_on(b']')? {
                    break;
                }
            }
        }
        if is_list {
            self.put(at, Slot::Int(count))
        } else {
            self.wrong(at, "a list")
        }
        Ok(())
    }

    fn number(&mut self, at: &At) -> Result<(), ScanError> {
        // Too short for a card number.
        if let Some(value) = self.s.short_integer() {
            self.whole(at, value);
            return Ok(());
        }
        let start = self.s;
        // As serde_json reads it: it has integers of 64 bits, and all others as f64.
        let number: Number = self.s.number()?.parse().map_err(|_| ScanError::Syntax(start.place()))?;
        let is_card_number = |value: u64| at.below != Below::Identifier && is_card_number_value(value);
        let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
        match (magnitude, number.as_i64(), number.as_f64()) {
            (Some(magnitude), ..) if is_card_number(magnitude) => self.card_number(at),
            (_, Some(value), _) => self.whole(at, value),
            (Some(_), ..) => self.wrong(at, "a number of this size"),
            (_, _, Some(value))
                if value.fract() == 0.0
                    && (1e12..1e19).contains(&value.abs())
                    && is_card_number(value.abs() as u64) =>
            {
                self.card_number(at);
            }
            _ => self.wrong(at, "a number with a fraction, or of this size"),
        }
        Ok(())
    }

    fn whole(&mut self, at: &At, value: i64) {
        match at.field() {
            Some((_, Kind::Number)) => self.put(at, Slot::Int(value)),
            _ => self.wrong(at, "a number"),
        }
    }

    fn text(&mut self, at: &At, text: &str) {
        let kind = at.field().map(|(_, kind)| kind);
        let no_phone = || text.bytes().filter(u8::is_ascii_digit).count() > PHONE_DIGITS;
        let may_hold_any = match at.field() {
            Some((fields::PHONE, _)) => !no_phone(),
            _ => kind == Some(Kind::Identifier) || at.below == Below::Identifier,
        };
        if !may_hold_any && holds_card_number(text) {
            return self.card_number(at);
        }
        match kind {
            Some(Kind::Text | Kind::Identifier) => {
                let most = if kind == Some(Kind::Text) { MAX_TEXT } else { MAX_ID };
                if text.len() > most {
                    return self.fault(at, format!("has {} bytes, at most {most} are taken", text.len()));
                }
                if !text.is_empty() {
                    self.put_text(at, text);
                }
            }
            Some(Kind::Digits(least, most)) => {
                if !(least..=most).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
                    return self.fault(
                        at,
                        match least == most {
                            true => format!("must be {least} digits"),
                            false => format!("must be {least} to {most} digits"),
                        },
                    );
                }
                self.put_text(at, text);
            }
            Some(Kind::Time) => match UnixMs::parse(text) {
                Some(instant) => self.put(at, Slot::Int(instant.0)),
                None => self.wrong(at, "this"),
            },
            _ => self.wrong(at, "a text"),
        }
    }

    fn put_text(&mut self, at: &At, text: &str) {
        let from = self.request.text.len() as u32;
        self.request.text.push_str(text);
        let to = self.request.text.len() as u32;
        self.put(at, Slot::Text { from, to });
    }

    fn put(&mut self, at: &At, slot: Slot) {
        let Some((field, _)) = at.field() else { return };
        if !matches!(self.request.slots[field], Slot::Empty) {
            return self.fault(at, "stands twice");
        }
        self.request.slots[field] = slot;
    }

    #[cold]
    fn fault(&mut self, at: &At, message: impl Into<String>) {
        if self.request.faults.len() < MAX_FAULTS {
            self.request.fault(&at.place.pointer(), message);
        }
    }

    #[cold]
    fn card_number(&mut self, at: &At) {
        if self.request.card_numbers.len() < MAX_FAULTS {
            self.request.card_numbers.push(Fault::new(at.place.pointer(), "holds a card number"));
        }
    }

    /// A value of another kind than the field's.
    fn wrong(&mut self, at: &At, is: &str) {
        match at.field() {
            Some((_, kind)) => {
                let must = match kind {
                    Kind::Number => "a whole number",
                    Kind::Time => "an instant such as \"2026-11-23T12:00:00Z\"",
                    Kind::List => "a list",
                    Kind::Digits(..) => "digits in quotes",
                    _ => "a text",
                };
                self.fault(at, format!("must be {must}, not {is}"));
            }
            None if at.below == Below::Known => self.fault(at, format!("must be an object, not {is}")),
            None => {}
        }
    }
}

/// How deep what stands in this is.
fn deeper(at: &At) -> Result<u8, ScanError> {
    if at.depth == MAX_DEPTH { Err(ScanError::TooDeep) } else { Ok(at.depth + 1) }
}
