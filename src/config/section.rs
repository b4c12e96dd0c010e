//! Reading one TOML table: every key is asked for once, every fault is kept, unknown keys are faults.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    /// 1 is the first; none for environment and flags.
    pub line: Option<usize>,
    /// Dotted path of the key.
    pub key: String,
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let dot = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{dot}{}: {}", self.key, self.message)
    }
}

/// The file that the tables come from, and the faults found so far.
pub struct Source<'s> {
    pub file: &'s str,
    pub text: &'s str,
    pub faults: Vec<Fault>,
}

impl Source<'_> {
    pub fn line(&self, span: &Range<usize>) -> Option<usize> {
        let before = self.text.get(..span.start)?;
        Some(before.bytes().filter(|b| *b == b'\n').count() + 1)
    }

    pub fn fault(&mut self, key: &str, line: Option<usize>, message: impl Into<String>) {
        self.faults.push(Fault { file: self.file.to_owned(), line, key: key.to_owned(), message: message.into() });
    }
}

/// One table being read. Call [`Section::end`] when all keys have been asked for.
pub struct Section<'t, 's, 'f> {
    table: Option<&'t DeTable<'t>>,
    path: String,
    asked: Vec<&'static str>,
    source: &'f mut Source<'s>,
}

impl<'t, 's, 'f> Section<'t, 's, 'f> {
    pub fn new(table: Option<&'t DeTable<'t>>, path: &str, source: &'f mut Source<'s>) -> Section<'t, 's, 'f> {
        Section { table, path: path.to_owned(), asked: Vec::new(), source }
    }

    fn ask(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.table.and_then(|t| t.get(key))
    }

    /// Whether the table is there at all.
    pub fn is_given(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the table has the key, whatever stands there.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A fault of `key`, at its line.
    pub fn fault(&mut self, key: &str, message: impl Into<String>) {
        let span = self.table.and_then(|t| t.get(key)).map(Spanned::span);
        let line = span.and_then(|s| self.source.line(&s));
        let path = self.path(key);
        self.source.fault(&path, line, message);
    }

    /// A text, checked by `check`.
    pub fn text<T>(&mut self, key: &'static str, check: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.ask(key)?.get_ref() {
            DeValue::String(text) => match check(text) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.fault(key, message);
                    None
                }
            },
            _ => {
                self.fault(key, "must be a text in quotes");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub fn number(&mut self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = match self.ask(key)?.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok(),
            _ => None,
        };
        let value = value.filter(|n| range.contains(n));
        if value.is_none() {
            self.fault(key, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        value
    }

    /// Seconds, with a fraction allowed, as milliseconds.
    pub fn seconds(&mut self, key: &'static str, most: i64) -> Option<i64> {
        let ms = match self.ask(key)?.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().and_then(|s| s.checked_mul(1_000)),
            DeValue::Float(f) => f.as_str().parse::<f64>().ok().map(|s| (s * 1_000.0) as i64),
            _ => None,
        };
        let ms = ms.filter(|ms| (1..=most.saturating_mul(1_000)).contains(ms));
        if ms.is_none() {
            self.fault(key, format!("must be seconds, above 0 and at most {most}"));
        }
        ms
    }

    /// A part of something, from 0 to 1.
    pub fn share(&mut self, key: &'static str) -> Option<f64> {
        let share = match self.ask(key)?.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
            DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.fault(key, "must be a number from 0 to 1");
        }
        share
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        match self.ask(key)?.get_ref() {
            DeValue::Boolean(b) => Some(*b),
            _ => {
                self.fault(key, "must be true or false");
                None
            }
        }
    }

    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let DeValue::Array(array) = self.ask(key)?.get_ref() else {
            self.fault(key, "must be a list of texts");
            return None;
        };
        let texts: Option<Vec<String>> = array.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect();
        if texts.is_none() {
            self.fault(key, "must hold texts only");
        }
        texts
    }

    /// The table below `key`; an empty one when it is absent.
    pub fn table(&mut self, key: &'static str) -> Section<'t, 's, '_> {
        let table = match self.ask(key).map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => Some(table),
            Some(_) => {
                self.fault(key, "must be a table");
                None
            }
            None => None,
        };
        let path = self.path(key);
        Section { table, path, asked: Vec::new(), source: self.source }
    }

    /// Calls `read` with each table of the list below `key`.
    pub fn each(&mut self, key: &'static str, mut read: impl FnMut(Section<'t, 's, '_>)) {
        let Some(value) = self.ask(key) else { return };
        let DeValue::Array(tables) = value.get_ref() else {
            return self.fault(key, format!("must be tables: [[{}]]", self.path(key)));
        };
        for (number, table) in tables.iter().enumerate() {
            match table.get_ref() {
                DeValue::Table(table) => {
                    let path = format!("{}[{number}]", self.path(key));
                    read(Section { table: Some(table), path, asked: Vec::new(), source: self.source });
                }
                _ => self.fault(key, "must hold tables only"),
            }
        }
    }

    /// The names in this table, for tables whose keys are names.
    pub fn names(&self) -> Vec<String> {
        self.table.map(|t| t.keys().map(|k| k.get_ref().to_string()).collect()).unwrap_or_default()
    }

    /// The table below a name.
    pub fn named(&mut self, name: &str) -> Section<'t, 's, '_> {
        let table = match self.table.and_then(|t| t.get(name)).map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => Some(table),
            _ => {
                self.fault(name, "must be a table");
                None
            }
        };
        let path = self.path(name);
        Section { table, path, asked: Vec::new(), source: self.source }
    }

    /// The text below a name.
    pub fn named_text(&mut self, name: &str) -> Option<String> {
        let text = self.table.and_then(|t| t.get(name)).and_then(|v| v.get_ref().as_str()).map(str::to_owned);
        if text.is_none() {
            self.fault(name, "must be a text in quotes");
        }
        text
    }

    /// Makes every key that was not asked for a fault.
    pub fn end(mut self) {
        let unknown: Vec<String> = self.names().into_iter().filter(|n| !self.asked.contains(&n.as_str())).collect();
        for name in unknown {
            let known = self.asked.join(", ");
            self.fault(&name, format!("is not a key here; known: {known}"));
        }
    }
}
