//! A check's body: JSON into values by field, or every fault of it.

#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::canonical;
use super::currency;
use super::fields::{self, BODY, FIELDS, Kind, Node};
use super::pan::{holds_card_number, is_card_number_value};
use super::{Fault, MAX_FAULTS};
use crate::clock::UnixMs;
use crate::ids::Currency;

/// Longest text of a field, in bytes.
pub const MAX_TEXT: usize = 4_096;
/// Longest identifier.
pub const MAX_ID: usize = 256;
/// Largest amount in minor units: sums of a million of them still fit.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;
pub const EXP_MONTHS: std::ops::RangeInclusive<i64> = 1..=12;
pub const EXP_YEARS: std::ops::RangeInclusive<i64> = 2000..=2100;

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    Null,
    Int(i64),
    Text(&'v str),
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Empty,
    Int(i64),
    Text { from: u32, to: u32 },
}

/// A parsed check. Used again and again: its buffers stay.
#[derive(Debug)]
pub struct Request {
    slots: [Slot; fields::COUNT],
    text: String,
    pub currency: u8,
    /// What is wrong, as far as anything is.
    pub faults: Vec<Fault>,
    /// Fields that hold card numbers.
    pub card_numbers: Vec<Fault>,
}

impl Default for Request {
    fn default() -> Request {
        let text = String::with_capacity(1_024);
        Request { slots: [Slot::Empty; fields::COUNT], text, currency: 0, faults: Vec::new(), card_numbers: Vec::new() }
    }
}

/// Why a body is no check. Faults and card numbers stand in the [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not JSON.
    Syntax(String),
    Faults,
    CardNumbers,
}

impl Request {
    pub fn get(&self, field: usize) -> Value<'_> {
        match self.slots[field] {
            Slot::Empty => Value::Null,
            Slot::Int(value) => Value::Int(value),
            Slot::Text { from, to } => Value::Text(&self.text[from as usize..to as usize]),
        }
    }

    pub fn text(&self, field: usize) -> &str {
        match self.get(field) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    pub fn int(&self, field: usize) -> Option<i64> {
        match self.get(field) {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }

    /// When it happened; as said in the body, or when it came in.
    pub fn at(&self) -> UnixMs {
        UnixMs(self.int(fields::OCCURRED_AT).unwrap_or(0))
    }

    /// Reads a body. `merchant` is whose key it came with, `arrived` stands in for a missing `occurred_at`. With `strict`
    /// unknown fields are faults.
    pub fn parse(&mut self, body: &[u8], strict: bool, merchant: Option<&str>, arrived: UnixMs) -> Result<(), Refused> {
        self.slots = [Slot::Empty; fields::COUNT];
        self.text.clear();
        self.faults.clear();
        self.card_numbers.clear();
        let mut walk = Walk { request: self, pointer: String::new(), strict };
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = At { walk: &mut walk, node: Some(&BODY), below: Below::Known }.deserialize(&mut json);
        read.and_then(|()| json.end()).map_err(|e| Refused::Syntax(e.to_string()))?;
        if !self.card_numbers.is_empty() {
            return Err(Refused::CardNumbers);
        }
        self.check(merchant, arrived);
        if self.faults.is_empty() { Ok(()) } else { Err(Refused::Faults) }
    }

    fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(pointer, message));
        }
    }

    fn check(&mut self, merchant: Option<&str>, arrived: UnixMs) {
        if let (Some(merchant), Value::Null) = (merchant, self.get(fields::MERCHANT)) {
            self.put_text(fields::MERCHANT, merchant);
        }
        for (field, pointer) in [
            (fields::MERCHANT, "/merchant_id"),
            (fields::TRANSACTION, "/transaction_id"),
            (fields::AMOUNT, "/amount/value"),
            (fields::CURRENCY, "/amount/currency"),
        ] {
            if self.get(field) == Value::Null && !self.faults.iter().any(|fault| fault.pointer == pointer) {
                self.fault(pointer, "is required");
            }
        }
        if self.int(fields::AMOUNT).is_some_and(|value| !(0..=MAX_AMOUNT).contains(&value)) {
            self.fault("/amount/value", format!("must be from 0 to {MAX_AMOUNT}, in minor units"));
        }
        self.currency = Currency::parse(self.text(fields::CURRENCY)).and_then(currency::number).unwrap_or(0);
        if self.currency == 0 && self.get(fields::CURRENCY) != Value::Null {
            self.fault("/amount/currency", "is not a currency of ISO 4217 such as \"EUR\"");
        }
        if self.int(fields::EXP_MONTH).is_some_and(|month| !EXP_MONTHS.contains(&month)) {
            self.fault("/payment_method/card/exp_month", "must be from 1 to 12");
        }
        if self.int(fields::EXP_YEAR).is_some_and(|year| !EXP_YEARS.contains(&year)) {
            self.fault("/payment_method/card/exp_year", "must be a year of four digits");
        }
        if self.get(fields::OCCURRED_AT) == Value::Null {
            self.slots[fields::OCCURRED_AT] = Slot::Int(arrived.0);
        }
        self.derive();
    }

    fn put_text(&mut self, field: usize, text: &str) {
        let from = self.text.len() as u32;
        self.text.push_str(text);
        self.slots[field] = Slot::Text { from, to: self.text.len() as u32 };
    }

    /// Writes what can be written in several ways in one.
    fn write_in_one_way(&mut self, field: usize, way: fn(&str) -> Cow<'_, str>) {
        let Slot::Text { from, to } = self.slots[field] else { return };
        let (was, now) = (&self.text[from as usize..to as usize], way(&self.text[from as usize..to as usize]));
        if now.len() == was.len() && matches!(now, Cow::Borrowed(_)) {
            return;
        }
        let now = now.into_owned();
        if now.is_empty() { self.slots[field] = Slot::Empty } else { self.put_text(field, &now) }
    }

    fn derive(&mut self) {
        self.write_in_one_way(fields::EMAIL, canonical::email);
        self.write_in_one_way(fields::PHONE, canonical::phone);
        if let Slot::Text { from, to } = self.slots[fields::EMAIL]
            && let Some(at) = self.text[from as usize..to as usize].rfind('@')
        {
            self.slots[fields::EMAIL_DOMAIN] = Slot::Text { from: from + at as u32 + 1, to };
        }
        let at = self.at();
        if let Some(created) = self.int(fields::CREATED_AT) {
            self.slots[fields::AGE_SECONDS] = Slot::Int(at.since(UnixMs(created)).div_euclid(1_000));
        }
        match canonical::ip(self.text(fields::IP)) {
            Some(ip) => {
                if self.text(fields::IP).contains(':') {
                    self.put_text(fields::IP, &ip.to_string());
                }
                let from = self.text.len() as u32;
                // Writing into memory does not fail.
                let _infallible = match ip {
                    IpAddr::V4(ip) => {
                        let [a, b, c, _] = ip.octets();
                        write!(self.text, "{a}.{b}.{c}.0/24")
                    }
                    IpAddr::V6(ip) => {
                        let [a, b, c, ..] = ip.segments();
                        write!(self.text, "{a:x}:{b:x}:{c:x}::/48")
                    }
                };
                self.slots[fields::IP_PREFIX] = Slot::Text { from, to: self.text.len() as u32 };
            }
            None if self.get(fields::IP) != Value::Null => self.fault("/device/ip", "is not an IP address"),
            None => {}
        }
        for (first, key) in [(fields::BILLING, fields::BILLING_KEY), (fields::SHIPPING, fields::SHIPPING_KEY)] {
            self.derive_address(first, key);
        }
        let minutes = at.0.div_euclid(60_000);
        let hours = minutes.div_euclid(60);
        let day = (hours.div_euclid(24) + 3).rem_euclid(7);
        let clock = [hours.rem_euclid(24), day, day * 24 + hours.rem_euclid(24), minutes.rem_euclid(60)];
        for (i, value) in clock.into_iter().enumerate() {
            self.slots[fields::CLOCK + i] = Slot::Int(value);
        }
    }

    /// What makes two ways to write an address one: first line, postal code and country, letters and digits only.
    fn derive_address(&mut self, first: usize, key: usize) {
        let parts = [first + 1, first + 5, first + 6];
        if parts[..2].iter().any(|field| self.get(*field) == Value::Null) {
            return;
        }
        let from = self.text.len();
        for field in parts {
            if let Slot::Text { from, to } = self.slots[field] {
                for at in from as usize..to as usize {
                    let byte = self.text.as_bytes()[at];
                    if byte.is_ascii_alphanumeric() {
                        self.text.push(byte.to_ascii_lowercase() as char);
                    } else if !byte.is_ascii() {
                        self.text.push_str(hex(byte));
                    }
                }
            }
            self.text.push('|');
        }
        self.slots[key] = Slot::Text { from: from as u32, to: self.text.len() as u32 };
    }
}

/// A byte of a letter that is not ASCII: told apart, never compared by case.
fn hex(byte: u8) -> &'static str {
    const DIGITS: &str = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf\
                          b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf\
                          e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    let at = 2 * usize::from(byte.saturating_sub(0x80));
    DIGITS.get(at..at + 2).unwrap_or("")
}

struct Walk<'r> {
    request: &'r mut Request,
    pointer: String,
    strict: bool,
}

impl Walk<'_> {
    fn fault(&mut self, message: impl Into<String>) {
        self.request.fault(&self.pointer, message);
    }

    fn card_number(&mut self) {
        if self.request.card_numbers.len() < MAX_FAULTS {
            self.request.card_numbers.push(Fault::new(self.pointer.as_str(), "holds a card number"));
        }
    }

    fn step(&mut self, key: &str) {
        self.pointer.push('/');
        // A pointer is part of an answer.
        let key = if holds_card_number(key) { "(number)" } else { key };
        match key.contains(['~', '/']) {
            true => self.pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            false => self.pointer.push_str(key),
        }
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
struct At<'w, 'r> {
    walk: &'w mut Walk<'r>,
    node: Option<&'static Node>,
    below: Below,
}

impl At<'_, '_> {
    fn field(&self) -> Option<(usize, Kind)> {
        self.node.and_then(|node| node.field).map(|field| (field, FIELDS[field].1))
    }

    fn put(self, slot: Slot) {
        let Some((field, _)) = self.field() else { return };
        if !matches!(self.walk.request.slots[field], Slot::Empty) {
            return self.walk.fault("stands twice");
        }
        self.walk.request.slots[field] = slot;
    }

    /// A value of another kind than the field's.
    fn wrong(self, is: &str) {
        match self.field() {
            Some((_, kind)) => {
                let must = match kind {
                    Kind::Number => "a whole number",
                    Kind::Time => "an instant such as \"2026-11-23T12:00:00Z\"",
                    Kind::List => "a list",
                    Kind::Digits(..) => "digits in quotes",
                    _ => "a text",
                };
                self.walk.fault(format!("must be {must}, not {is}"));
            }
            None if self.below == Below::Known => self.walk.fault(format!("must be an object, not {is}")),
            None => {}
        }
    }

    fn string(self, text: &str) {
        let kind = self.field().map(|(_, kind)| kind);
        if kind != Some(Kind::Identifier) && self.below != Below::Identifier && holds_card_number(text) {
            return self.walk.card_number();
        }
        match kind {
            Some(Kind::Text | Kind::Identifier) => {
                let most = if kind == Some(Kind::Text) { MAX_TEXT } else { MAX_ID };
                if text.len() > most {
                    return self.walk.fault(format!("has {} bytes, at most {most} are taken", text.len()));
                }
                if text.is_empty() {
                    return;
                }
                let from = self.walk.request.text.len() as u32;
                self.walk.request.text.push_str(text);
                let to = self.walk.request.text.len() as u32;
                self.put(Slot::Text { from, to });
            }
            Some(Kind::Digits(least, most)) => {
                if !(least..=most).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
                    return self.walk.fault(match least == most {
                        true => format!("must be {least} digits"),
                        false => format!("must be {least} to {most} digits"),
                    });
                }
                let from = self.walk.request.text.len() as u32;
                self.walk.request.text.push_str(text);
                let to = self.walk.request.text.len() as u32;
                self.put(Slot::Text { from, to });
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

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
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

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        if self.is_card_number(value.unsigned_abs()) {
            self.walk.card_number();
        } else {
            self.whole(value);
        }
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        if self.is_card_number(value) {
            self.walk.card_number();
        } else {
            match i64::try_from(value) {
                Ok(value) => self.whole(value),
                Err(_) => self.wrong("a number of this size"),
            }
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        if value.fract() == 0.0 && (1e12..1e19).contains(&value.abs()) && self.is_card_number(value.abs() as u64) {
            self.walk.card_number();
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
        let here = self.walk.pointer.len();
        let mut count = 0;
        let below = if matches!(self.field(), Some((_, Kind::List))) { Below::Items } else { Below::Open };
        loop {
            self.walk.step(&count.to_string());
            let read = seq.next_element_seed(At { walk: self.walk, node: None, below });
            self.walk.pointer.truncate(here);
            match read? {
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

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let here = self.walk.pointer.len();
        let is_leaf = self.field().is_some();
        while let Some(Key(key)) = map.next_key::<Key>()? {
            let node = self.node.and_then(|node| node.child(&key));
            let unknown = node.is_none();
            if unknown && holds_card_number(&key) {
                // Not said which: the name itself is the number.
                self.walk.card_number();
            }
            self.walk.step(&key);
            if unknown
                && self.below == Below::Known
                && !is_leaf
                && self.walk.strict
                && !self.node.is_some_and(|n| n.open)
            {
                self.walk.fault("is not a field of a check");
            }
            let below = match self.below {
                Below::Known if !unknown && !node.is_some_and(|n| n.open) => Below::Known,
                Below::Items if ITEM_IDENTIFIERS.contains(&&*key) => Below::Identifier,
                _ => Below::Open,
            };
            let read = map.next_value_seed(At { walk: self.walk, node, below });
            self.walk.pointer.truncate(here);
            read?;
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
