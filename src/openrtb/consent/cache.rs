//! What consent strings came to, so that a user who comes again is not decoded again.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::gpp::Sections;
use super::tcf::Vendor;

/// Longer strings are decoded each time. With [`SLOTS`] it bounds a cache to 2 MiB.
const MAX_KEPT: usize = 2 << 10;
const SLOTS: usize = 1 << 10;

/// A table with one place for each string: another one that belongs there takes it. One for each worker.
#[derive(Debug, Default)]
pub struct Cache {
    /// Empty until the first string comes.
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    text: Vec<u8>,
    vendor: Option<Vendor>,
    sections: Sections,
}

impl Cache {
    /// [`Sections::decode`], or what it said before.
    pub fn sections(&mut self, text: &str, vendor: Option<&Vendor>) -> Sections {
        if text.is_empty() || text.len() > MAX_KEPT {
            return Sections::decode(text, vendor);
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        // Who makes strings that fall together only makes his own be decoded again.
        let place = FixedState::with_seed(0).hash_one(text.as_bytes()) as usize % SLOTS;
        let slot = &mut self.slots[place];
        if slot.text != text.as_bytes() || slot.vendor.as_ref() != vendor {
            slot.sections = Sections::decode(text, vendor);
            slot.vendor = vendor.copied();
            slot.text.clear();
            slot.text.reserve_exact(text.len());
            slot.text.extend_from_slice(text.as_bytes());
        }
        slot.sections
    }

    /// Bytes of the strings that are kept.
    #[cfg(test)]
    pub fn text_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.text.capacity()).sum()
    }
}
