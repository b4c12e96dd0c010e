//! A body member by member: its values into a request's, what is wrong with them, and card numbers wherever they stand.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::fields::{BODY, FIELDS, Kind, Node};
use super::super::pan::{holds_card_number, is_card_number_value};
use super::super::{Fault, MAX_FAULTS, MAX_POINTER};
use super::{MAX_ID, MAX_TEXT, Request, Slot};
use crate::clock::UnixMs;

/// Reads a whole body into a request that holds nothing yet.
pub(super) fn body(body: &[u8], strict: bool, request: &mut Request) -> Result<(), serde_json::Error> {
    let at = At { request, strict, node: Some(&BODY), below: Below::Known, place: &Place::Whole };
    match std::str::from_utf8(body) {
        Ok(text) => whole(at, serde_json::Deserializer::from_str(text)),
        // It says where.
        Err(_) => whole(at, serde_json::Deserializer::from_slice(body)),
    }
}

fn whole<'de, R: serde_json::de::Read<'de>>(
    at: At,
    mut json: serde_json::Deserializer<R>,
) -> Result<(), serde_json::Error> {
    at.deserialize(&mut json)?;
    json.end()
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

/// A value that is read, and what is known of its place.
struct At<'a> {
    request: &'a mut Request,
    strict: bool,
    node: Option<&'static Node>,
    below: Below,
    place: &'a Place<'a>,
}

impl At<'_> {
    fn fault(&mut self, message: impl Into<String>) {
        if self.request.faults.len() < MAX_FAULTS {
            self.request.fault(&self.place.pointer(), message);
        }
    }

    fn card_number(&mut self) {
        if self.request.card_numbers.len() < MAX_FAULTS {
            self.request.card_numbers.push(Fault::new(self.place.pointer(), "holds a card number"));
        }
    }

    fn field(&self) -> Option<(usize, Kind)> {
        self.node.and_then(|node| node.field).map(|field| (field, FIELDS[field].1))
    }

    fn put(mut self, slot: Slot) {
        let Some((field, _)) = self.field() else { return };
        if !matches!(self.request.slots[field], Slot::Empty) {
            return self.fault("stands twice");
        }
        self.request.slots[field] = slot;
    }

    fn put_text(self, text: &str) {
        let from = self.request.text.len() as u32;
        self.request.text.push_str(text);
        let to = self.request.text.len() as u32;
        self.put(Slot::Text { from, to });
    }

    /// A value of another kind than the field's.
    fn wrong(mut self, is: &str) {
        match self.field() {
            Some((_, kind)) => {
                let must = match kind {
                    Kind::Number => "a whole number",
                    Kind::Time => "an instant such as \"2026-11-23T12:00:00Z\"",
                    Kind::List => "a list",
                    Kind::Digits(..) => "digits in quotes",
                    _ => "a text",
                };
                self.fault(format!("must be {must}, not {is}"));
            }
            None if self.below == Below::Known => self.fault(format!("must be an object, not {is}")),
            None => {}
        }
    }

    fn string(mut self, text: &str) {
        let kind = self.field().map(|(_, kind)| kind);
        if kind != Some(Kind::Identifier) && self.below != Below::Identifier && holds_card_number(text) {
            return self.card_number();
        }
        match kind {
            Some(Kind::Text | Kind::Identifier) => {
                let most = if kind == Some(Kind::Text) { MAX_TEXT } else { MAX_ID };
                if text.len() > most {
                    return self.fault(format!("has {} bytes, at most {most} are taken", text.len()));
                }
                if text.is_empty() {
                    return;
                }
                self.put_text(text);
            }
            Some(Kind::Digits(least, most)) => {
                if !(least..=most).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
                    return self.fault(match least == most {
                        true => format!("must be {least} digits"),
                        false => format!("must be {least} to {most} digits"),
                    });
                }
                self.put_text(text);
            }
            Some(Kind::Time) => match UnixMs::parse(text) {
                Some(at) => self.put(Slot::Int(at.0)),
                None => self.wrong("this"),
            },
            _ => self.wrong("a text"),
        }
    }

    fn is_card_number(&self, value: u64) -> bool {
        self.below != Below::Identifier && is_card_number_value(value)
    }

    fn whole(self, value: i64) {
        match self.field() {
            Some((_, Kind::Number)) => self.put(Slot::Int(value)),
            _ => self.wrong("a number"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.wrong("true or false");
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        if self.is_card_number(value.unsigned_abs()) {
            self.card_number();
        } else {
            self.whole(value);
        }
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        if self.is_card_number(value) {
            self.card_number();
        } else {
            match i64::try_from(value) {
                Ok(value) => self.whole(value),
                Err(_) => self.wrong("a number of this size"),
            }
        }
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        if value.fract() == 0.0 && (1e12..1e19).contains(&value.abs()) && self.is_card_number(value.abs() as u64) {
            self.card_number();
        } else {
            self.wrong("a number with a fraction, or of this size");
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.string(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut count = 0;
        let below = if matches!(self.field(), Some((_, Kind::List))) { Below::Items } else { Below::Open };
        loop {
            let place = Place::Element(self.place, count);
            let at = At { request: &mut *self.request, strict: self.strict, node: None, below, place: &place };
            match seq.next_element_seed(at)? {
                Some(()) => count += 1,
                None => break,
            }
        }
        match self.field() {
            Some((_, Kind::List)) => self.put(Slot::Int(count)),
            _ => self.wrong("a list"),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let is_leaf = self.field().is_some();
        let is_open = self.node.is_some_and(|node| node.open);
        while let Some(Key(key)) = map.next_key::<Key>()? {
            let node = self.node.and_then(|node| node.child(&key));
            let unknown = node.is_none();
            let is_number = unknown && holds_card_number(&key);
            if is_number {
                // Not said which: the name itself is the number.
                self.card_number();
            }
            // A pointer is part of an answer.
            let place = Place::Member(self.place, if is_number { "(number)" } else { &key });
            let below = match self.below {
                Below::Known if !unknown && !node.is_some_and(|n| n.open) => Below::Known,
                Below::Items if ITEM_IDENTIFIERS.contains(&&*key) => Below::Identifier,
                _ => Below::Open,
            };
            let is_told = unknown && self.below == Below::Known && !is_leaf && self.strict && !is_open;
            let mut at = At { request: &mut *self.request, strict: self.strict, node, below, place: &place };
            if is_told {
                at.fault("is not a field of a check");
            }
            map.next_value_seed(at)?;
        }
        if is_leaf {
            self.wrong("an object");
        }
        Ok(())
    }
}

/// The name of a member, borrowed where it needs no unescaping.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Key<'de>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(Text)
    }
}
