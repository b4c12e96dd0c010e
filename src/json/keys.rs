//! The names of an object's fields, and which of them a key is.

/// Bytes in each half of a [`Key`].
const HALF: usize = 8;
/// The longest name that a key holds.
pub const LONGEST: usize = 2 * HALF;
/// A name falls on one of so many slots.
const SLOT_BITS: u32 = 6;
/// How many slots there are.
pub const SLOTS: usize = 1 << SLOT_BITS;

/// The bytes of a key of at most sixteen, with zeros behind them. There is no NUL in a name, so no other key looks like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub first: u64,
    /// 0 in those of at most eight bytes.
    pub second: u64,
}

impl Key {
    /// One that is no name.
    pub const NONE: Key = Key { first: 0, second: 0 };

    pub const fn new(key: &[u8]) -> Key {
        if key.len() > LONGEST {
            return Key::NONE;
        }
        let (mut halves, mut at) = ([0; 2], key.len());
        while at > 0 {
            at -= 1;
            if key[at] == 0 {
                return Key::NONE;
            }
            halves[at / HALF] = halves[at / HALF] << 8 | key[at] as u64;
        }
        Key { first: halves[0], second: halves[1] }
    }

    /// Given the first bytes and what lies behind them.
    #[inline(always)]
    pub fn within(bytes: &[u8; LONGEST], len: usize) -> Key {
        /// Which bytes of each half count, by the length.
        const MASKS: [[u64; 2]; LONGEST] = {
            let (mut masks, mut len) = ([[0; 2]; LONGEST], 0);
            while len < LONGEST {
                let all = (1u128 << (8 * len)) - 1;
                masks[len] = [all as u64, (all >> 64) as u64];
                len += 1;
            }
            masks
        };
        let ([first, second], _) = bytes.as_chunks() else { return Key::NONE };
        let [of_first, of_second] = MASKS[len % LONGEST];
        Key { first: u64::from_le_bytes(*first) & of_first, second: u64::from_le_bytes(*second) & of_second }
    }
}

/// How names fall on slots, each on one of its own among those that are long and those that are not.
#[derive(Clone, Copy, Debug)]
pub struct Slots(u64);

impl Slots {
    /// Made when the program is built, which fails if two names are equal, or one is too long.
    pub const fn new(names: &[&str]) -> Slots {
        let mut slots = Slots(0x9E37_79B9_7F4A_7C15);
        while !slots.part(names) {
            slots.0 = slots.0.wrapping_mul(0xD134_2543_DE82_EF95) | 1;
        }
        slots
    }

    const fn part(self, names: &[&str]) -> bool {
        let (mut taken, mut i) = ([0u64; 2], 0);
        while i < names.len() {
            let name = names[i].as_bytes();
            assert!(!name.is_empty() && name.len() <= LONGEST);
            let key = Key::new(name);
            let (slot, kind) = (1 << self.of(key), (key.second != 0) as usize);
            if taken[kind] & slot != 0 {
                return false;
            }
            taken[kind] |= slot;
            i += 1;
        }
        true
    }

    #[inline(always)]
    pub const fn of(self, key: Key) -> u64 {
        (key.first ^ key.second).wrapping_mul(self.0) >> (u64::BITS - SLOT_BITS)
    }
}
