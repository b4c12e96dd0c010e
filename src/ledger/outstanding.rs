//! What of a campaign's leases is neither returned nor spent, per start and slot: nearly always one.

use smallvec::SmallVec;

use crate::event::Slot;
use crate::ids::Epoch;
use crate::money::Nanos;

type Key = (Epoch, Slot);

/// In ascending order. There are a few starts at most, so that looking through them takes no time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outstanding(SmallVec<[(Key, Nanos); 1]>);

impl Outstanding {
    fn find(&self, key: &Key) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub fn get(&self, key: &Key) -> Option<&Nanos> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    pub fn contains_key(&self, key: &Key) -> bool {
        self.find(key).is_ok()
    }

    pub fn insert(&mut self, key: Key, left: Nanos) {
        match self.find(&key) {
            Ok(at) => self.0[at].1 = left,
            Err(at) => self.0.insert(at, (key, left)),
        }
    }

    pub fn remove(&mut self, key: &Key) {
        if let Ok(at) = self.find(key) {
            self.0.remove(at);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Nanos)> {
        self.0.iter().map(|(key, left)| (key, left))
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &Nanos> {
        self.0.iter().map(|(_, left)| left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Day;

    #[test]
    fn each_start_and_slot_has_one_amount_in_order() {
        let [old, day, whole] = [(Epoch(1), Slot::Whole), (Epoch(2), Slot::Day(Day(3))), (Epoch(2), Slot::Whole)];
        let mut left = Outstanding::default();
        for (key, nanos) in [(day, 1), (old, 2), (whole, 3), (day, 4)] {
            left.insert(key, Nanos(nanos));
        }
        assert_eq!(left.iter().map(|(k, n)| (*k, n.0)).collect::<Vec<_>>(), [(old, 2), (whole, 3), (day, 4)]);
        left.remove(&whole);
        left.remove(&whole);
        assert!(left.get(&day) == Some(&Nanos(4)) && !left.contains_key(&whole) && left.keys().count() == 2);
    }
}
