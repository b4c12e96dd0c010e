//! Passing over values that nobody asked for, as strictly as if someone had.

use super::scan::{LEVELS, MAX_DEPTH, ScanError, Scanner};

impl Scanner<'_> {
    /// Skips one value, checking it.
    #[inline(always)]
    pub fn skip(&mut self) -> Result<(), ScanError> {
        if self.digit().is_none() && self.plain_string().is_none() {
            self.apart(Scanner::skip_here)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn skip_here(&mut self) -> Result<(), ScanError> {
        match self.next_byte() {
            b'{' | b'[' => self.skip_container(),
            b'-' | b'0'..=b'9' => match self.short_integer() {
                Some(_) => Ok(()),
                None => self.number().map(drop),
            },
            b'"' => self.pass_string(),
            b't' | b'f' => self.bool().map(drop),
            _ => self.null(),
        }
    }

    #[inline(never)]
    fn skip_container(&mut self) -> Result<(), ScanError> {
        let mut s = *self;
        // A bit for each container that is open, the innermost lowest: set for an object. Above them one more is set. Beyond
        // so many the outer ones are on the heap, which only what nobody means to send gets to.
        let (mut open, mut outer) = (1u64, Vec::new());
        // A loop, since the input chooses the depth.
        loop {
            match s.next_byte() {
                b'"' => s.pass_string()?,
                b'{' | b'[' if open >> LEVELS != 0 => {
                    if (outer.len() + 1) * LEVELS >= MAX_DEPTH {
                        return Err(ScanError::TooDeep);
                    }
                    outer.push(open);
                    open = 1;
                    continue;
                }
                b'{' => {
                    if s.pass_key()? {
                        open = open << 1 | 1;
                        continue;
                    }
                }
                b'[' => {
                    if s.starts(b'[', b']')? {
                        open <<= 1;
                        continue;
                    }
                }
                _ => s.skip()?,
            }
            // A value is complete: close what ends here.
            loop {
                if open == 1 {
                    match outer.pop() {
                        Some(word) => open = word,
                        None => {
                            *self = s;
                            return Ok(());
                        }
                    }
                }
                let goes_on = if open & 1 == 1 {
                    (s.surely_has_more_fields() || (!s.take(b'}') && s.has_more_fields()?)) && s.pass_key()?
                } else {
                    s.take(b',') || (!s.take(b']') && s.apart(|s| s.goes_on(b']'))?)
                };
                if goes_on {
                    break;
                }
                open >>= 1;
            }
        }
    }
}
