//! JSON, with `NaN` and `Infinity` where a number may stand, as XGBoost writes them.

use super::{Kind, MAX_DEPTH, Read};
use crate::scoring::fault::Fault;

pub struct Json<'t> {
    bytes: &'t [u8],
    at: usize,
    depth: usize,
}

impl<'t> Json<'t> {
    pub fn new(bytes: &'t [u8]) -> Json<'t> {
        Json { bytes, at: 0, depth: 0 }
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn want(&mut self, byte: u8) -> Result<(), Fault> {
        if self.eat(byte) { Ok(()) } else { Err(self.fault(format!("expected `{}`", char::from(byte)))) }
    }

    fn enter(&mut self, open: u8) -> Result<(), Fault> {
        self.want(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.fault(format!("nested deeper than {MAX_DEPTH}"))) } else { Ok(()) }
    }

    /// The letters, digits and signs that stand here.
    fn word(&mut self) -> &'t str {
        self.peek();
        let from = self.at;
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        self.at += self.bytes[from..].iter().take_while(|b| is_word(b)).count();
        std::str::from_utf8(&self.bytes[from..self.at]).unwrap_or_default()
    }

    /// The bytes between the quotes, escapes and all.
    fn quoted(&mut self) -> Result<&'t [u8], Fault> {
        self.want(b'"')?;
        let from = self.at;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(&self.bytes[from..self.at - 1]);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
        Err(self.fault("the text ends inside quotes"))
    }
}

impl Read for Json<'_> {
    fn kind(&mut self) -> Result<Kind, Fault> {
        match self.peek() {
            None => Err(self.fault("the file ends here")),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            Some(_) => Err(self.fault("this is no JSON value")),
        }
    }

    fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Result<(), Fault>) -> Result<(), Fault> {
        self.enter(b'{')?;
        if !self.eat(b'}') {
            loop {
                let key = self.text()?;
                self.want(b':')?;
                each(self, &key)?;
                if !self.eat(b',') {
                    break;
                }
            }
            self.want(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.enter(b'[')?;
        if !self.eat(b']') {
            loop {
                each(self)?;
                if !self.eat(b',') {
                    break;
                }
            }
            self.want(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn text(&mut self) -> Result<String, Fault> {
        let from = self.at;
        let raw = self.quoted()?;
        if !raw.contains(&b'\\') {
            return std::str::from_utf8(raw).map(str::to_owned).map_err(|_| self.fault("the text is not UTF-8"));
        }
        let text = serde_json::from_slice(self.bytes[from..self.at].trim_ascii());
        text.map_err(|_| self.fault("the text has a bad escape"))
    }

    fn float(&mut self) -> Result<f32, Fault> {
        let word = self.word();
        match word {
            "NaN" => Ok(f32::NAN),
            "Infinity" => Ok(f32::INFINITY),
            "-Infinity" => Ok(f32::NEG_INFINITY),
            "true" => Ok(1.0),
            "false" => Ok(0.0),
            _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                word.parse().map_err(|_| self.fault(format!("`{word}` is no number")))
            }
            _ => Err(self.fault("expected a number")),
        }
    }

    fn int(&mut self) -> Result<i64, Fault> {
        let word = self.word();
        match word {
            "true" => Ok(1),
            "false" => Ok(0),
            _ => word.parse().map_err(|_| self.fault(format!("expected a whole number, found `{word:.20}`"))),
        }
    }

    fn skip(&mut self) -> Result<(), Fault> {
        match self.kind()? {
            Kind::Object => self.object(|read, _| read.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::Text => self.quoted().map(|_| ()),
            Kind::Number => self.float().map(|_| ()),
            Kind::Bool | Kind::Null => match self.word() {
                "true" | "false" | "null" => Ok(()),
                word => Err(self.fault(format!("`{word:.20}` is no JSON value"))),
            },
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("something follows the model")) }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(format!("byte {}", self.at.min(self.bytes.len())), message)
    }
}
