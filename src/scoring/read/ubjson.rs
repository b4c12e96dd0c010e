//! UBJSON (draft 12): XGBoost's default since 2.1. Numbers are big-endian; a container may give its count, and then its
//! elements' one type, ahead.

use super::{Kind, MAX_DEPTH, Read};
use crate::scoring::fault::Fault;

pub struct Ubjson<'t> {
    bytes: &'t [u8],
    at: usize,
    depth: usize,
    /// The type of the value that stands here, where the container around it gave it.
    typed: Option<u8>,
}

/// How a container ends.
struct Extent {
    count: Option<u64>,
    kind: Option<u8>,
}

impl<'t> Ubjson<'t> {
    pub fn new(bytes: &'t [u8]) -> Ubjson<'t> {
        Ubjson { bytes, at: 0, depth: 0, typed: None }
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| self.fault("the file ends here"))?;
        self.at += 1;
        Ok(byte)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).copied();
        self.at += N;
        bytes.ok_or_else(|| self.fault("the file ends inside a number"))
    }

    /// The type of the next value without consuming it.
    fn peek(&mut self) -> Result<u8, Fault> {
        if let Some(kind) = self.typed {
            return Ok(kind);
        }
        while self.bytes.get(self.at) == Some(&b'N') {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().ok_or_else(|| self.fault("the file ends here"))
    }

    fn marker(&mut self) -> Result<u8, Fault> {
        let kind = self.peek()?;
        if self.typed.take().is_none() {
            self.at += 1;
        }
        Ok(kind)
    }

    fn int_of(&mut self, kind: u8) -> Result<i64, Fault> {
        Ok(match kind {
            b'i' => i64::from(i8::from_be_bytes(self.take()?)),
            b'U' => i64::from(u8::from_be_bytes(self.take()?)),
            b'I' => i64::from(i16::from_be_bytes(self.take()?)),
            b'l' => i64::from(i32::from_be_bytes(self.take()?)),
            b'L' => i64::from_be_bytes(self.take()?),
            b'T' => 1,
            b'F' => 0,
            _ => return Err(self.fault("expected a whole number")),
        })
    }

    fn length(&mut self) -> Result<u64, Fault> {
        let kind = self.byte()?;
        let length = self.int_of(kind)?;
        u64::try_from(length).map_err(|_| self.fault("a negative length"))
    }

    /// A length and that many bytes: a key, or a text without its marker.
    fn bytes_here(&mut self) -> Result<&'t [u8], Fault> {
        let length = self.length()?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let Some(found) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.fault(format!("a text of {length} bytes goes past the end")));
        };
        self.at += found.len();
        Ok(found)
    }

    fn string_here(&mut self) -> Result<String, Fault> {
        let bytes = self.bytes_here()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.fault("the text is not UTF-8"))
    }

    fn enter(&mut self, open: u8) -> Result<Extent, Fault> {
        if self.marker()? != open {
            return Err(self.fault(if open == b'{' { "expected an object" } else { "expected an array" }));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(format!("nested deeper than {MAX_DEPTH}")));
        }
        let mut extent = Extent { count: None, kind: None };
        if self.bytes.get(self.at) == Some(&b'$') {
            self.at += 1;
            let kind = self.byte()?;
            if !b"iUIlLdDSC[{".contains(&kind) {
                // Elements without bytes would make a count of any size free.
                return Err(self.fault(format!("an array of type `{}`", char::from(kind).escape_default())));
            }
            extent.kind = Some(kind);
        }
        if self.bytes.get(self.at) == Some(&b'#') {
            self.at += 1;
            let count = self.length()?;
            if count > (self.bytes.len() - self.at.min(self.bytes.len())) as u64 {
                return Err(self.fault(format!("a count of {count} goes past the end")));
            }
            extent.count = Some(count);
        } else if extent.kind.is_some() {
            return Err(self.fault("a type without a count"));
        }
        Ok(extent)
    }

    /// Calls `each` until the container ends.
    fn each(
        &mut self,
        extent: &Extent,
        close: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut left = extent.count;
        loop {
            match &mut left {
                Some(0) => break,
                Some(left) => *left -= 1,
                None if self.peek()? == close => {
                    self.at += 1;
                    break;
                }
                None => {}
            }
            each(self)?;
        }
        self.depth -= 1;
        Ok(())
    }
}

impl Read for Ubjson<'_> {
    fn kind(&mut self) -> Result<Kind, Fault> {
        match self.peek()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'S' | b'C' => Ok(Kind::Text),
            b'T' | b'F' => Ok(Kind::Bool),
            b'Z' => Ok(Kind::Null),
            b'i' | b'U' | b'I' | b'l' | b'L' | b'd' | b'D' => Ok(Kind::Number),
            other => Err(self.fault(format!("type `{}` is not supported", char::from(other).escape_default()))),
        }
    }

    fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Result<(), Fault>) -> Result<(), Fault> {
        let extent = self.enter(b'{')?;
        let kind = extent.kind;
        self.each(&extent, b'}', |read| {
            let key = read.string_here()?;
            read.typed = kind;
            each(read, &key)
        })
    }

    fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let extent = self.enter(b'[')?;
        let kind = extent.kind;
        self.each(&extent, b']', |read| {
            read.typed = kind;
            each(read)
        })
    }

    fn text(&mut self) -> Result<String, Fault> {
        match self.marker()? {
            b'S' => self.string_here(),
            b'C' => {
                let byte = self.byte()?;
                if byte.is_ascii() { Ok(char::from(byte).to_string()) } else { Err(self.fault("a bad character")) }
            }
            _ => Err(self.fault("expected a text")),
        }
    }

    fn float(&mut self) -> Result<f32, Fault> {
        match self.marker()? {
            b'd' => Ok(f32::from_be_bytes(self.take()?)),
            b'D' => Ok(f64::from_be_bytes(self.take()?) as f32),
            kind => Ok(self.int_of(kind)? as f32),
        }
    }

    fn int(&mut self) -> Result<i64, Fault> {
        let kind = self.marker()?;
        self.int_of(kind)
    }

    fn skip(&mut self) -> Result<(), Fault> {
        match self.kind()? {
            Kind::Object => self.object(|read, _| read.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::Text => self.text().map(|_| ()),
            Kind::Number | Kind::Bool => self.float().map(|_| ()),
            Kind::Null => self.marker().map(|_| ()),
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.at >= self.bytes.len() { Ok(()) } else { Err(self.fault("something follows the model")) }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(format!("byte {}", self.at.min(self.bytes.len())), message)
    }
}
