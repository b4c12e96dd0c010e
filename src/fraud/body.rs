//! Bodies of JSON read member by member, so that every fault is named by where it stands: wrong types, missing members and
//! unknown ones too.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pan::holds_card_number;
use super::{Fault, Faults};
use crate::clock::UnixMs;

/// An object, and where it stands.
pub(super) struct Object<'j> {
    pointer: String,
    /// In their order, also those that stand twice.
    members: Vec<(String, &'j RawValue)>,
}

struct Members<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Members<'de>, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(Walk)
    }
}

/// What a value is, told by its first sign.
fn what(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// What is wrong with a JSON text, without what may be a card number in it.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if holds_card_number(&text) { format!("not JSON at line {}", error.line()) } else { text }
}

/// A JSON text; the fault, if it is none, is of the whole.
pub(super) fn json<'j>(text: &'j [u8], pointer: &str) -> Result<&'j RawValue, Fault> {
    serde_json::from_slice(text).map_err(|e| Fault::new(pointer, format!("is not JSON: {}", told(&e))))
}

impl<'j> Object<'j> {
    /// None, and a fault, where it is something else.
    pub fn of(value: &'j RawValue, pointer: String, faults: &mut Faults) -> Option<Object<'j>> {
        match serde_json::from_str(value.get()) {
            Ok(Members(members)) => Some(Object { pointer, members }),
            Err(_) => {
                faults.push(pointer, format!("must be an object, not {}", what(value)));
                None
            }
        }
    }

    /// Where a member stands (RFC 6901).
    pub fn at(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"))
    }

    pub fn has(&self, key: &str) -> bool {
        self.members.iter().any(|(name, _)| name == key)
    }

    /// Takes a member out; null is none.
    fn take(&mut self, key: &str, faults: &mut Faults) -> Option<&'j RawValue> {
        let place = self.members.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.members.remove(place);
        if self.has(key) {
            faults.push(self.at(key), "stands twice");
            self.members.retain(|(name, _)| name != key);
        }
        (value.get() != "null").then_some(value)
    }

    pub fn text(&mut self, key: &str, faults: &mut Faults) -> Option<Cow<'j, str>> {
        let value = self.take(key, faults)?;
        let raw = value.get();
        // Without an escape it stands there as it is.
        let plain = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|text| !text.contains('\\'));
        let text = plain.map(Cow::Borrowed).or_else(|| serde_json::from_str(raw).ok().map(Cow::Owned));
        if text.is_none() {
            let is = if raw.starts_with('"') { "broken escapes" } else { what(value) };
            faults.push(self.at(key), format!("must be a text, not {is}"));
        }
        text
    }

    /// A member that must be there. `None` says that there is a fault.
    pub fn required(&mut self, key: &str, faults: &mut Faults) -> Option<Cow<'j, str>> {
        let before = faults.count();
        let text = self.text(key, faults);
        if text.is_none() && faults.count() == before {
            faults.push(self.at(key), "is required");
        }
        text
    }

    pub fn list(&mut self, key: &str, faults: &mut Faults) -> Option<Vec<&'j RawValue>> {
        let value = match self.take(key, faults) {
            Some(value) => value,
            None => {
                faults.push(self.at(key), "is required");
                return None;
            }
        };
        let list = serde_json::from_str(value.get()).ok();
        if list.is_none() {
            faults.push(self.at(key), format!("must be a list, not {}", what(value)));
        }
        list
    }

    pub fn instant(&mut self, key: &str, faults: &mut Faults) -> Option<UnixMs> {
        let text = self.text(key, faults)?;
        let at = UnixMs::parse(&text);
        if at.is_none() {
            faults.push(self.at(key), "must be an instant such as \"2026-11-23T12:00:00Z\"");
        }
        at
    }

    /// What is left is not known.
    pub fn end(self, faults: &mut Faults) {
        for (key, _) in &self.members {
            let key = if holds_card_number(key) { "(number)" } else { key };
            faults.push(self.at(key), "is not known here");
        }
    }
}
