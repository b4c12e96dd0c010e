//! Passing over values that nobody asked for, as strictly as if someone had.

use super::scan::{ScanError, Scanner};

impl Scanner<'_> {
    /// Skips one value, checking it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), ScanError> {
        match self.next_byte() {
            b'{' | b'[' => self.skip_container(),
            _ => self.skip_scalar(),
        }
    }

    fn skip_scalar(&mut self) -> Result<(), ScanError> {
        match self.next_byte() {
            b'"' => self.pass_string().map(drop),
            b'-' | b'0'..=b'9' => match self.short_integer() {
                Some(_) => Ok(()),
                None => self.number().map(drop),
            },
            b't' | b'f' => self.bool().map(drop),
            _ => self.null(),
        }
    }

    /// A key and its colon, whatever they are.
    #[inline]
    fn skip_key(&mut self) -> Result<(), ScanError> {
        if self.next_byte() != b'"' {
            return self.fail(self.pos);
        }
        self.pass_string()?;
        self.colon()
    }

    fn skip_container(&mut self) -> Result<(), ScanError> {
        let base = self.depth;
        let mut open = Open::default();
        // A loop, since the input chooses the depth.
        loop {
            let opened = self.next_byte();
            if matches!(opened, b'{' | b'[') {
                self.open(opened)?;
                open.push(opened == b'{', self.depth - base);
                if opened == b'{' {
                    if self.next_byte() != b'}' {
                        self.skip_key()?;
                        continue;
                    }
                } else if self.next_byte() != b']' {
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            // A value is complete, or an empty container is about to close: close what ends here.
            loop {
                match (self.next_byte(), open.is_object()) {
                    (b',', true) => {
                        self.pos += 1;
                        self.skip_key()?;
                        break;
                    }
                    (b',', false) => {
                        self.pos += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.pos += 1;
                        self.depth -= 1;
                        if self.depth == base {
                            return Ok(());
                        }
                        open.pop(self.depth - base);
                    }
                    _ => return self.fail(self.pos),
                }
            }
        }
    }
}

/// The containers that are open, a bit for each: set for an object. Beyond 64 the outer ones are on the heap, which only
/// what nobody means to send gets to.
#[derive(Default)]
struct Open {
    inner: u64,
    outer: Vec<u64>,
}

impl Open {
    #[inline]
    fn is_object(&self) -> bool {
        self.inner & 1 == 1
    }

    /// `count` is how many are open then.
    #[inline]
    fn push(&mut self, is_object: bool, count: usize) {
        if count % 64 == 1 && count > 64 {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(is_object);
    }

    #[inline]
    fn pop(&mut self, count: usize) {
        self.inner >>= 1;
        if count.is_multiple_of(64)
            && let Some(inner) = self.outer.pop()
        {
            self.inner = inner;
        }
    }
}
