//! Passing over values that nobody asked for, as strictly as if someone had.

use super::scan::{Kind, MAX_DEPTH, ScanError, Scanner};

impl Scanner<'_> {
    /// Skips one value, checking it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), ScanError> {
        match self.next_byte() {
            b'{' | b'[' => self.skip_container(),
            _ => self.skip_scalar(),
        }
    }

    #[inline]
    fn skip_scalar(&mut self) -> Result<(), ScanError> {
        match self.kind()? {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.bool().map(drop),
            _ => self.null(),
        }
    }

    fn skip_container(&mut self) -> Result<(), ScanError> {
        // One bit per open container: set for an object. A loop, since the input chooses the depth.
        let mut is_object = [0u64; MAX_DEPTH / 64];
        let base = self.depth;
        loop {
            let opened = self.next_byte();
            if matches!(opened, b'{' | b'[') {
                self.open(opened)?;
                let (word, bit) = ((self.depth - 1) / 64, 1u64 << ((self.depth - 1) % 64));
                if opened == b'{' {
                    is_object[word] |= bit;
                    if self.next_byte() != b'}' {
                        self.string()?;
                        self.colon()?;
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
                let in_object = is_object[(self.depth - 1) / 64] & (1 << ((self.depth - 1) % 64)) != 0;
                match (self.next_byte(), in_object) {
                    (b',', true) => {
                        self.pos += 1;
                        self.string()?;
                        self.colon()?;
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
                    }
                    _ => return self.fail(self.pos),
                }
            }
        }
    }
}
