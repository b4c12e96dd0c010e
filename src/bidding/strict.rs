//! JSON in which no key stands twice.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::check::quoted;
use super::fault::Fault;

/// Parses JSON; a key that stands twice in one object is refused, since one of the two would be lost unseen.
pub fn json(text: &str) -> Result<Value, Fault> {
    serde_json::from_str::<Strict>(text).map(|Strict(value)| value).map_err(|e| syntax(&e))
}

/// Parses a JSON array and hands over one element at a time, so that a large file is never held as a tree.
pub fn elements(text: &str, each: impl FnMut(usize, Value)) -> Result<(), Fault> {
    let mut d = serde_json::Deserializer::from_str(text);
    d.deserialize_seq(ElementsVisitor(each)).and_then(|()| d.end()).map_err(|e| syntax(&e))
}

fn syntax(e: &serde_json::Error) -> Fault {
    Fault { pointer: String::new(), line: Some(e.line()), message: format!("is not valid JSON: {e}") }
}

struct ElementsVisitor<F>(F);

impl<'de, F: FnMut(usize, Value)> Visitor<'de> for ElementsVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(Strict(value)) = seq.next_element()? {
            (self.0)(index, value);
            index += 1;
        }
        Ok(())
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Strict, D::Error> {
        d.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {} stands twice", quoted(&key))));
            }
            map.insert(key, entries.next_value::<Strict>()?.0);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stand_twice_are_refused() {
        let fault = json("{\n\"a\": {\"b\": 1,\n \"b\": 2}}").unwrap_err();
        assert_eq!(fault.line, Some(3));
        assert!(fault.message.contains("\"b\" stands twice"), "{}", fault.message);
    }
}
