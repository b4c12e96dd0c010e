//! What is wrong with a campaign, and where.

use std::collections::BTreeMap;
use std::fmt;

/// More faults than this in one text are counted but not listed: a person reads them.
pub const MAX_FAULTS: usize = 1_000;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901) such as `/creatives/0/adm`; empty is the whole text. A missing key is pointed at too.
    pub pointer: String,
    /// Line of the text, from 1.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        match self.line {
            Some(line) => write!(f, "{pointer} (line {line}): {}", self.message),
            None => write!(f, "{pointer}: {}", self.message),
        }
    }
}

/// Appends one step of a JSON pointer.
pub(super) fn step(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Gives every fault the line of what it points at, or of the nearest thing around it that exists.
/// `text` is valid JSON; one pass, whatever the number of faults.
pub(super) fn locate(text: &str, faults: &mut [Fault]) {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for fault in faults.iter() {
        let mut pointer = fault.pointer.as_str();
        lines.insert(pointer.to_owned(), 0);
        while let Some(cut) = pointer.rfind('/') {
            pointer = &pointer[..cut];
            lines.insert(pointer.to_owned(), 0);
        }
    }
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, line: 1, pointer: String::new(), lines };
    scan.value();
    for fault in faults {
        let mut pointer = fault.pointer.as_str();
        fault.line = loop {
            match (scan.lines.get(pointer), pointer.rfind('/')) {
                (Some(&line), _) if line > 0 => break Some(line),
                (_, Some(cut)) => pointer = &pointer[..cut],
                (_, None) => break None,
            }
        };
    }
}

/// Walks valid JSON and notes on which line each wanted pointer's value begins.
struct Scan<'t> {
    bytes: &'t [u8],
    at: usize,
    line: usize,
    pointer: String,
    lines: BTreeMap<String, usize>,
}

impl Scan<'_> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                _ => return Some(byte),
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self) {
        let first = self.peek();
        if let Some(line) = self.lines.get_mut(&self.pointer) {
            *line = self.line;
        }
        match first {
            Some(b'{') => self.members(b'}'),
            Some(b'[') => self.members(b']'),
            Some(b'"') => {
                self.string();
            }
            _ => {
                while self.bytes.get(self.at).is_some_and(|b| !b",]} \t\r\n".contains(b)) {
                    self.at += 1;
                }
            }
        }
    }

    fn members(&mut self, close: u8) {
        self.at += 1;
        let here = self.pointer.len();
        let mut index = 0;
        loop {
            match self.peek() {
                None => return,
                Some(b) if b == close => break,
                Some(b',' | b':') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
            }
            if close == b'}' {
                let key = self.string();
                step(&mut self.pointer, &key);
                if self.peek() == Some(b':') {
                    self.at += 1;
                }
            } else {
                step(&mut self.pointer, &index.to_string());
                index += 1;
            }
            let before = self.at;
            self.value();
            // The text is valid, so this always moves; a loop that did not would never end.
            self.at = self.at.max(before + 1);
            self.pointer.truncate(here);
        }
        self.at += 1;
    }

    fn string(&mut self) -> String {
        let from = self.at;
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    break;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.bytes.len());
        serde_json::from_slice(&self.bytes[from.min(self.at)..self.at]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_value_or_of_what_surrounds_it() {
        let text = "{\n \"a\\\"/\": [1,\n  {\"b\": \"x\"},\n  3],\n \"c\": {}\n}";
        let at = |pointer: &str| Fault { pointer: pointer.into(), line: None, message: String::new() };
        let mut faults = [at(""), at("/a\"~1"), at("/a\"~1/1/b"), at("/a\"~1/2"), at("/c/missing"), at("/nowhere")];
        locate(text, &mut faults);
        let lines: Vec<_> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [Some(1), Some(2), Some(3), Some(4), Some(5), Some(1)]);
        assert_eq!(faults[4].to_string(), "/c/missing (line 5): ");
    }
}
