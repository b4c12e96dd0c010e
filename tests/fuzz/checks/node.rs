//! JSON as serde_json reads it, and a field of it as what it is read as.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// A JSON value with the text it stands in, and objects with all their fields, also those of one name.
pub struct Node<'a> {
    pub raw: &'a str,
    pub kind: Kind<'a>,
}

pub enum Kind<'a> {
    Null,
    Bool(bool),
    Number,
    Text(String),
    Array(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Node<'a> {
    /// Of a text that is JSON.
    pub fn of(text: &'a str) -> Node<'a> {
        let raw = text.trim_matches([' ', '\n', '\r', '\t']);
        let kind = match raw.as_bytes()[0] {
            b'n' => Kind::Null,
            b't' => Kind::Bool(true),
            b'f' => Kind::Bool(false),
            b'"' => Kind::Text(serde_json::from_str(raw).expect("a string")),
            b'[' => {
                let items: Vec<&'a RawValue> = serde_json::from_str(raw).expect("an array");
                Kind::Array(items.into_iter().map(|item| Node::of(item.get())).collect())
            }
            b'{' => {
                let fields: Fields<'a> = serde_json::from_str(raw).expect("an object");
                Kind::Object(fields.0.into_iter().map(|(name, value)| (name, Node::of(value.get()))).collect())
            }
            _ => Kind::Number,
        };
        Node { raw, kind }
    }
}

pub type Rule = &'static str;
pub const WRONG_TYPE: Rule = "wrong_type";
pub const NEGATIVE: Rule = "negative";

/// What a field is read as. `Or` is for those that only refine a decision: of the wrong type they are as good as absent.
#[derive(Clone, Copy)]
pub enum As {
    Id,
    Text,
    Int,
    /// Not negative, at most what u32 holds.
    Count,
    /// A count, 0 where it is absent.
    Size,
    Flag,
    /// A flag, unset where it is absent.
    Switch,
    Float,
    Price,
    Texts,
    Ints,
    Raw,
    Gdpr,
    Or(&'static As),
    Object(fn(&Node) -> Result<Value, Rule>),
}
use As::*;

impl As {
    fn absent(self) -> Value {
        match self {
            Id => json!(["", "\"\""]),
            Switch => json!(false),
            Size => json!(0),
            Price => json!(0.0),
            Texts | Ints => json!([]),
            Or(read) => read.absent(),
            _ => Value::Null,
        }
    }

    fn read(self, node: &Node) -> Result<Value, Rule> {
        Ok(match self {
            Id => match text(node)? {
                Some(text) if node.raw.starts_with('"') => json!([text, node.raw]),
                Some(text) => json!([text, format!("\"{}\"", node.raw)]),
                None => self.absent(),
            },
            Text => json!(text(node)?),
            Int => json!(int(node)?),
            Count => json!(count(node)?),
            Size => json!(count(node)?.unwrap_or(0)),
            Flag => json!(int(node)?.map(|value| value != 0)),
            Switch => json!(int(node)?.is_some_and(|value| value != 0)),
            Float => json!(float(node)?),
            Price => match float(node)? {
                Some(value) if value < 0.0 => return Err(NEGATIVE),
                value => json!(value.unwrap_or(0.0)),
            },
            Texts => list(node, |entry| match entry.kind {
                Kind::Text(_) | Kind::Number | Kind::Null => Ok(text(entry)?.map(Value::from)),
                _ => Err(WRONG_TYPE),
            })?,
            Ints => list(node, |entry| Ok(int(entry)?.map(Value::from)))?,
            Raw => match node.kind {
                Kind::Null => Value::Null,
                _ => json!(node.raw),
            },
            Gdpr => match int(node)? {
                Some(value @ (0 | 1)) => json!(value == 1),
                Some(_) => return Err(WRONG_TYPE),
                None => Value::Null,
            },
            Or(read) => read.read(node).unwrap_or_else(|_| read.absent()),
            Object(read) => read(node)?,
        })
    }
}

pub fn text(node: &Node) -> Result<Option<String>, Rule> {
    match &node.kind {
        Kind::Text(text) => Ok(Some(text.clone())),
        Kind::Number => Ok(Some(node.raw.to_owned())),
        Kind::Null => Ok(None),
        _ => Err(WRONG_TYPE),
    }
}

/// The number that a text consists of, as JSON writes it.
fn number(text: &str) -> Result<Option<&str>, Rule> {
    match text.trim_ascii() {
        "" => Ok(None),
        text if serde_json::from_str::<serde_json::Number>(text).is_ok() => Ok(Some(text)),
        _ => Err(WRONG_TYPE),
    }
}

/// Whole; above eighteen digits it is as exact as an f64.
fn whole(number: &str) -> Result<i64, Rule> {
    match number.parse::<i64>() {
        Ok(value) if number.trim_start_matches('-').len() <= 18 => Ok(value),
        _ => {
            let value: f64 = number.parse().map_err(|_| WRONG_TYPE)?;
            if value.fract() == 0.0 { Ok(value as i64) } else { Err(WRONG_TYPE) }
        }
    }
}

fn int(node: &Node) -> Result<Option<i64>, Rule> {
    match &node.kind {
        Kind::Number => whole(node.raw).map(Some),
        Kind::Text(text) => number(text)?.map(whole).transpose(),
        Kind::Bool(value) => Ok(Some((*value).into())),
        Kind::Null => Ok(None),
        _ => Err(WRONG_TYPE),
    }
}

fn count(node: &Node) -> Result<Option<u32>, Rule> {
    match int(node)? {
        Some(value) if value < 0 => Err(NEGATIVE),
        value => Ok(value.map(|value| value.min(u32::MAX.into()) as u32)),
    }
}

fn float(node: &Node) -> Result<Option<f64>, Rule> {
    let parse = |text: &str| text.parse::<f64>().map_err(|_| WRONG_TYPE);
    match &node.kind {
        Kind::Number => parse(node.raw).map(Some),
        Kind::Text(text) => number(text)?.map(parse).transpose(),
        Kind::Null => Ok(None),
        _ => Err(WRONG_TYPE),
    }
}

/// A list, or one entry that nobody put into one.
fn list(node: &Node, read: impl Fn(&Node) -> Result<Option<Value>, Rule>) -> Result<Value, Rule> {
    let one = std::slice::from_ref(node);
    let entries = match &node.kind {
        Kind::Null => return Ok(json!([])),
        Kind::Array(items) => items,
        _ => one,
    };
    let read: Result<Vec<Option<Value>>, Rule> = entries.iter().map(read).collect();
    Ok(read?.into_iter().flatten().collect())
}

pub type Table = &'static [(&'static str, As)];

/// Reads the fields of an object in the order in which they stand. `None` for null and `[]`.
pub fn object(node: &Node, table: Table) -> Result<Option<Map<String, Value>>, Rule> {
    let fields = match &node.kind {
        Kind::Object(fields) => fields,
        Kind::Null => return Ok(None),
        Kind::Array(items) if items.is_empty() => return Ok(None),
        _ => return Err(WRONG_TYPE),
    };
    let mut found: Map<String, Value> = table.iter().map(|(name, read)| ((*name).to_owned(), read.absent())).collect();
    for (name, value) in fields {
        if let Some((_, read)) = table.iter().find(|(known, _)| known == name) {
            found.insert(name.clone(), read.read(value)?);
        }
    }
    Ok(Some(found))
}

/// As [`object`]; an absent one has absent fields.
pub fn whole_object(node: &Node, table: Table) -> Result<Map<String, Value>, Rule> {
    Ok(object(node, table)?.unwrap_or_else(|| absent(table)))
}

pub fn absent(table: Table) -> Map<String, Value> {
    table.iter().map(|(name, read)| ((*name).to_owned(), read.absent())).collect()
}

/// `ext` is anyone's: what is no object is no fault.
pub fn ext(node: &Node, table: Table) -> Result<Value, Rule> {
    match node.kind {
        Kind::Object(_) => Ok(object(node, table)?.into()),
        _ => Ok(Value::Null),
    }
}

/// Where a field is absent, the one that OpenRTB 2.5 had in `ext`.
pub fn fall_back(object: &mut Map<String, Value>, names: &[&str]) {
    let ext = object.remove("ext").unwrap_or_default();
    for name in names {
        let says_nothing = |value: &Value| [Value::Null, json!([]), json!("")].contains(value);
        if let (true, Some(value)) = (says_nothing(&object[*name]), ext.get(name).filter(|value| !says_nothing(value)))
        {
            object.insert((*name).to_owned(), value.clone());
        }
    }
}
