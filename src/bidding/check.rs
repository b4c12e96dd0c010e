//! Walking a JSON value and collecting every fault on the way.
//!
//! A derived deserializer stops at the first fault; here each read of a key notes its fault and goes on. A reader
//! gives `None` or a default for what is faulty, so a result may only be used when no fault was noted.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::fault::{Fault, MAX_FAULTS, locate, step};
use crate::money::{MoneyError, Nanos};

/// Longest piece of what was typed that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;
/// Longer unknown keys get no suggestion: comparing them costs the product of the lengths.
const MAX_SUGGESTED_BYTES: usize = 64;

/// The faults noted so far.
#[derive(Default)]
pub struct Faults {
    list: RefCell<Vec<Fault>>,
    unlisted: RefCell<usize>,
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    pub fn add(&self, pointer: String, message: impl Into<String>) {
        let mut list = self.list.borrow_mut();
        if list.len() < MAX_FAULTS {
            list.push(Fault { pointer, line: None, message: message.into() });
        } else {
            *self.unlisted.borrow_mut() += 1;
        }
    }

    /// All faults, with the lines of `text`.
    pub fn finish(self, text: &str) -> Vec<Fault> {
        let mut list = self.list.into_inner();
        locate(text, &mut list);
        match self.unlisted.into_inner() {
            0 => {}
            more => list.push(Fault { pointer: String::new(), line: None, message: format!("has {more} more faults") }),
        }
        list
    }
}

/// A JSON object being read.
pub struct Object<'a> {
    map: &'a Map<String, Value>,
    pub pointer: String,
    faults: &'a Faults,
}

impl<'a> Object<'a> {
    /// Notes a fault and is `None` unless `value` is an object.
    pub fn new(value: &'a Value, pointer: String, faults: &'a Faults) -> Option<Object<'a>> {
        match value {
            Value::Object(map) => Some(Object { map, pointer, faults }),
            other => {
                faults.add(pointer, wrong_type("an object", other));
                None
            }
        }
    }

    /// Refuses every key that is not `known`.
    pub fn only(&self, known: &[&str]) {
        for key in self.map.keys().filter(|key| !known.contains(&key.as_str())) {
            let mut message = format!("unknown key {}", quoted(key));
            match nearest(key, known) {
                Some(near) => message.push_str(&format!("; did you mean \"{near}\"?")),
                None => message.push_str(&format!("; known are {}", known.join(", "))),
            }
            self.fault(key, message);
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Whether there is no entry for `key`: absent or an empty array.
    pub fn lacks(&self, key: &str) -> bool {
        self.map.get(key).is_none_or(|v| v.as_array().is_some_and(Vec::is_empty))
    }

    pub fn at(&self, key: &str) -> String {
        let mut pointer = self.pointer.clone();
        step(&mut pointer, key);
        pointer
    }

    pub fn fault(&self, key: &str, message: impl Into<String>) {
        self.faults.add(self.at(key), message);
    }

    /// A key that may be absent.
    pub fn optional<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Result<T, String>) -> Option<T> {
        read(self.map.get(key)?).map_err(|message| self.fault(key, message)).ok()
    }

    /// A key that must be there.
    pub fn required<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Result<T, String>) -> Option<T> {
        if !self.has(key) {
            self.fault(key, "is required");
        }
        self.optional(key, read)
    }

    /// An optional array; an absent one is empty. Faulty elements are noted and left out.
    pub fn list<T>(&self, key: &str, max: usize, mut read: impl FnMut(&'a Value) -> Result<T, String>) -> Vec<T> {
        let elements = self.elements(key, max);
        let mut out = Vec::with_capacity(elements.len());
        for (index, value) in elements.iter().enumerate() {
            match read(value) {
                Ok(item) => out.push(item),
                Err(message) => self.faults.add(format!("{}/{index}", self.at(key)), message),
            }
        }
        out
    }

    /// An optional array of objects.
    pub fn objects(&self, key: &str, max: usize) -> impl Iterator<Item = Object<'a>> {
        let pointer = self.at(key);
        let elements = self.elements(key, max).iter().enumerate();
        elements.filter_map(move |(index, value)| Object::new(value, format!("{pointer}/{index}"), self.faults))
    }

    fn elements(&self, key: &str, max: usize) -> &'a [Value] {
        match self.map.get(key) {
            None => &[],
            Some(Value::Array(list)) if list.len() <= max => list,
            Some(Value::Array(list)) => {
                self.fault(key, format!("has {} entries, more than {max}", list.len()));
                &[]
            }
            Some(other) => {
                self.fault(key, wrong_type("an array", other));
                &[]
            }
        }
    }

    pub fn object(&self, key: &str) -> Option<Object<'a>> {
        Object::new(self.map.get(key)?, self.at(key), self.faults)
    }
}

pub fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| wrong_type("a string", value))
}

/// Text that is not blank, has no control characters and is at most `max` bytes.
pub fn text(value: &Value, max: usize) -> Result<&str, String> {
    let text = bounded(value, max)?;
    if text.chars().any(char::is_control) { Err("has a control character".into()) } else { Ok(text) }
}

/// As [`text`], with line breaks and such allowed: markup.
pub fn bounded(value: &Value, max: usize) -> Result<&str, String> {
    let text = string(value)?;
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    if text.len() > max {
        return Err(format!("is {} bytes long, more than {max}", text.len()));
    }
    Ok(text)
}

/// A name that is safe in a URL path, a file name and a metric label.
pub fn name(value: &Value, max: usize) -> Result<&str, String> {
    let name = text(value, max)?;
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    if name.bytes().all(safe) {
        Ok(name)
    } else {
        Err(format!("is {}; only letters, digits and ._:- are allowed", quoted(name)))
    }
}

pub fn integer(value: &Value, range: RangeInclusive<u32>) -> Result<u32, String> {
    let wrong = || format!("must be a whole number from {} to {}", range.start(), range.end());
    match value {
        Value::Number(number) => {
            let whole = number.as_u64().and_then(|n| u32::try_from(n).ok());
            whole.filter(|n| range.contains(n)).ok_or_else(|| format!("is {number}; {}", wrong()))
        }
        other => Err(format!("{}, not {}", wrong(), kind(other))),
    }
}

pub fn choice<T: Copy>(value: &Value, table: &[(&str, T)]) -> Result<T, String> {
    let text = string(value)?;
    match table.iter().find(|(name, _)| *name == text) {
        Some((_, chosen)) => Ok(*chosen),
        None => {
            let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
            Err(format!("is {}; must be one of {}", quoted(text), names.join(", ")))
        }
    }
}

/// Money above zero and at most `max`.
pub fn money(value: &Value, parse: fn(&str) -> Result<Nanos, MoneyError>, max: Nanos) -> Result<Nanos, String> {
    if let Value::Number(number) = value {
        return Err(format!("must be a decimal string, never a number: write it in quotes, \"{number}\""));
    }
    match parse(string(value)?) {
        Ok(Nanos(0)) => Err(MoneyError::Zero.to_string()),
        Ok(amount) if amount > max => Err("is too large".into()),
        Ok(amount) => Ok(amount),
        Err(e) => Err(e.to_string()),
    }
}

/// An absolute http or https URL that may stand in a header, in XML and in HTML once escaped.
pub fn url(value: &Value, max: usize) -> Result<&str, String> {
    let url = text(value, max)?;
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let (head, rest) = url.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(rest) = rest else {
        return Err(format!("is {}; must be an absolute http or https URL", quoted(url)));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err("is a URL without a host".into());
    }
    if url.bytes().any(|b| !b.is_ascii_graphic() || b"\"<>\\^`".contains(&b)) {
        return Err("has characters that a URL must percent-encode".into());
    }
    Ok(url)
}

/// A piece of what was typed, short and printable.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

fn wrong_type(wanted: &str, value: &Value) -> String {
    format!("must be {wanted}, not {}", kind(value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null (leave the key out)",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The known key that takes the fewest edits, if it is at all alike.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    if key.len() > MAX_SUGGESTED_BYTES {
        return None;
    }
    let lower = key.to_lowercase();
    let (edits, near) = known.iter().map(|k| (edits(lower.as_bytes(), k.as_bytes()), *k)).min()?;
    (edits <= 2.max(near.len() / 2)).then_some(near)
}

/// Levenshtein distance in bytes.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_alike() {
        let known = ["countries", "cities", "os"];
        assert_eq!(nearest("country", &known), Some("countries"));
        assert_eq!(nearest("Cities", &known), Some("cities"));
        assert_eq!(nearest("zzzzzzzzzzzz", &known), None);
        assert_eq!(nearest(&"c".repeat(100_000), &known), None);
        assert_eq!(edits(b"kitten", b"sitting"), 3);
    }

    #[test]
    fn urls_are_absolute_and_safe() {
        for good in ["https://a.example/", "HTTP://a.example", "https://a.example:8080?x=%20&y=${M}"] {
            assert!(url(&Value::from(good), 100).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "//a.example",
            "ftp://a.example",
            "https://",
            "https:///x",
            "https://é.example",
            "https://a.example/\r\nx: y",
            "https://a.example/\"",
            "https://:80/",
            "https://u@/",
            "httpsé//",
        ] {
            assert!(url(&Value::from(bad), 100).is_err(), "{bad}");
        }
    }
}
