//! Passing over values that nobody asked for, as strictly as if someone had.

use super::scan::{MAX_DEPTH, ScanError, Scanner};

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
        // One bit per open container: set for an object. A loop, since the input chooses the depth.
        let mut is_object = [0u64; MAX_DEPTH / 64];
        let base = self.depth;
        let mut in_object = false;
        loop {
            let opened = self.next_byte();
            if matches!(opened, b'{' | b'[') {
                self.open(opened)?;
                in_object = opened == b'{';
                let (word, bit) = ((self.depth - 1) / 64, 1u64 << ((self.depth - 1) % 64));
                if in_object {
                    is_object[word] |= bit;
                    if self.next_byte() != b'}' {
                        self.skip_key()?;
                        continue;
                    }
                } else {
                    is_object[word] &= !bit;
                    if self.next_byte() != b']' {
                        continue;
                    }
                }
            } else {
                self.skip_scalar()?;
            }
            // A value is complete, or an empty container is about to close: close what ends here.
            loop {
                match (self.next_byte(), in_object) {
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
                        in_object = is_object[(self.depth - 1) / 64] & (1 << ((self.depth - 1) % 64)) != 0;
                    }
                    _ => return self.fail(self.pos),
                }
            }
        }
    }
}
