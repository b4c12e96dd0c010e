//! A campaign's lists as keys, all of them in one allocation: there are many, and most are empty.

use super::index::{ATTRIBUTES, Accepts, Attribute};
use super::key::{Keys, key};

/// What lists a campaign may have besides what it accepts of each attribute of the index. What is excluded follows upon
/// what is included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    Regions,
    NotRegions,
    Cities,
    NotCities,
    Inventory,
    NotInventory,
    Categories,
    NotCategories,
    Segments,
    NotSegments,
    Deals,
}

const LISTS: usize = List::Deals as usize + 1;
const ALL: usize = LISTS + ATTRIBUTES.len();

/// Each list is sorted.
#[derive(Debug)]
pub struct Sets {
    keys: Box<[u64]>,
    /// Where each list ends, and the next one begins.
    ends: [u32; ALL],
    /// One bit for each list that is not empty.
    given: u32,
    /// One bit for each attribute of which any value is accepted but those that are listed.
    all_but: u8,
}

/// Lists in the making.
#[derive(Default)]
pub struct Draft {
    lists: [Vec<u64>; ALL],
    all_but: u8,
}

impl Draft {
    pub fn list<'t>(&mut self, list: List, texts: impl Iterator<Item = &'t str>) {
        self.lists[list as usize].extend(texts.map(key));
    }

    /// These values, and no unknown one.
    pub fn only(&mut self, attribute: Attribute, values: Vec<u64>) {
        self.lists[LISTS + attribute as usize] = values;
    }

    /// Any value, and none, but these.
    pub fn all_but(&mut self, attribute: Attribute, values: Vec<u64>) {
        self.all_but |= 1 << attribute as u8;
        self.only(attribute, values);
    }

    pub fn finish(mut self) -> Sets {
        let mut keys = Vec::with_capacity(self.lists.iter().map(Vec::len).sum());
        let mut sets = Sets { keys: Box::default(), ends: [0; ALL], given: 0, all_but: self.all_but };
        for (at, list) in self.lists.iter_mut().enumerate() {
            list.sort_unstable();
            keys.append(list);
            sets.ends[at] = keys.len() as u32;
            sets.given |= u32::from(sets.starts(at) < sets.ends[at]) << at;
        }
        sets.keys = keys.into();
        sets
    }
}

impl Sets {
    fn starts(&self, at: usize) -> u32 {
        if at == 0 { 0 } else { self.ends[at - 1] }
    }

    #[inline]
    fn at(&self, at: usize) -> Keys<'_> {
        Keys(&self.keys[self.starts(at) as usize..self.ends[at] as usize])
    }

    #[inline]
    pub fn has(&self, list: List) -> bool {
        self.given >> list as u32 & 1 == 1
    }

    pub fn get(&self, list: List) -> Keys<'_> {
        self.at(list as usize)
    }

    /// Whether one of `keys` is in the list.
    #[inline]
    pub fn any_of(&self, list: List, keys: &[u64]) -> bool {
        self.has(list) && self.get(list).any_of(keys)
    }

    /// Whether something with these keys is wanted, where `wanted` are included and `not` excluded; nothing known has
    /// none.
    #[inline]
    pub fn allow(&self, wanted: List, not: List, keys: &[u64]) -> bool {
        (!self.has(wanted) || self.any_of(wanted, keys)) && !self.any_of(not, keys)
    }

    /// What is accepted of an attribute of the index.
    pub fn accepts(&self, attribute: Attribute) -> Accepts<'_> {
        let Keys(values) = self.at(LISTS + attribute as usize);
        if self.all_but >> attribute as u8 & 1 == 1 { Accepts::AllBut(values) } else { Accepts::Only(values) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_its_own() {
        let mut draft = Draft::default();
        draft.list(List::Cities, ["b", "a"].into_iter());
        draft.list(List::NotCities, ["b"].into_iter());
        draft.list(List::Deals, ["d"].into_iter());
        draft.only(Attribute::Format, vec![7]);
        draft.only(Attribute::Os, Vec::new());
        draft.all_but(Attribute::Country, vec![9]);
        let sets = draft.finish();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(key);
        let allowed = |keys: &[u64]| sets.allow(List::Cities, List::NotCities, keys);
        assert!(allowed(&[a, c]) && !allowed(&[c]) && !allowed(&[a, b]) && !allowed(&[]));
        assert!(sets.allow(List::Regions, List::NotRegions, &[]) && !sets.has(List::Regions));
        assert!(sets.has(List::Deals) && sets.get(List::Deals).contains(d) && sets.get(List::Cities).0.len() == 2);
        assert_eq!(sets.accepts(Attribute::Format), Accepts::Only(&[7]));
        assert_eq!(sets.accepts(Attribute::Os), Accepts::Only(&[]));
        assert_eq!(sets.accepts(Attribute::Country), Accepts::AllBut(&[9]));
        assert_eq!(sets.accepts(Attribute::Device), Accepts::Only(&[]));
    }
}
