//! A check's body: JSON into values by field, or every fault of it.

mod read;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::borrow::Cow;
use std::fmt::Write as _;

use super::canonical;
use super::currency;
use super::fields;
use super::{Fault, MAX_FAULTS};
use crate::clock::UnixMs;
use crate::ids::Currency;

pub use read::ITEM_IDENTIFIERS;

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
        match self.slots[field] {
            Slot::Text { from, to } => &self.text[from as usize..to as usize],
            _ => "",
        }
    }

    pub fn int(&self, field: usize) -> Option<i64> {
        match self.slots[field] {
            Slot::Int(value) => Some(value),
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
        read::body(body, strict, self).map_err(Refused::Syntax)?;
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
                self.derive_prefix(ip);
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

    /// The network of an address that stands in its canonical form.
    fn derive_prefix(&mut self, ip: IpAddr) {
        let from = self.text.len();
        match (ip, self.slots[fields::IP]) {
            (IpAddr::V4(_), Slot::Text { from, to }) => {
                let (from, to) = (from as usize, to as usize);
                let three = self.text[from..to].rfind('.').unwrap_or(0);
                self.text.extend_from_within(from..from + three);
                self.text.push_str(".0/24");
            }
            (IpAddr::V6(ip), _) => {
                let [a, b, c, ..] = ip.segments();
                // Writing into memory does not fail.
                let _infallible = write!(self.text, "{a:x}:{b:x}:{c:x}::/48");
            }
            _ => {}
        }
        self.slots[fields::IP_PREFIX] = Slot::Text { from: from as u32, to: self.text.len() as u32 };
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
