//! Lists of a request: it may fill them with ten thousand entries, and asks for as many creatives. Long ones are made ready
//! when the first creative asks.

use std::cell::OnceCell;

use smallvec::SmallVec;

use super::campaign::inventory_key;
use super::key::{KeySet, key};
use crate::openrtb::list::{IntList, StrList};

/// Entries of a list that is looked through each time: nearly all are no longer, and then nothing is quicker.
const SHORT: usize = 32;

/// The numbers of one list, in order.
#[derive(Debug, Default)]
pub struct Numbers(OnceCell<SmallVec<[i64; 1]>>);

impl Numbers {
    /// Whether `list`, the same at each call, has the number.
    #[inline]
    pub fn have(&self, list: IntList, number: i64) -> bool {
        if list.len() <= SHORT { list.contains(number) } else { self.find(list, number) }
    }

    #[cold]
    fn find(&self, list: IntList, number: i64) -> bool {
        let sorted = || {
            let mut numbers: SmallVec<[i64; 1]> = list.iter().collect();
            numbers.sort_unstable();
            numbers
        };
        self.0.get_or_init(sorted).binary_search(&number).is_ok()
    }
}

/// The texts of one list.
#[derive(Clone, Debug, Default)]
pub struct Texts(OnceCell<KeySet>);

impl Texts {
    /// Whether `list`, the same at each call, has the text.
    #[inline]
    pub fn have(&self, list: StrList, text: &str) -> bool {
        if list.len() <= SHORT { list.contains(text) } else { self.find(list, text, key) }
    }

    /// Whether it has the domain, however it writes it.
    pub fn have_domain(&self, list: StrList, domain: &str) -> bool {
        match list.len() {
            ..=SHORT => list.iter().any(|entry| inventory_key(&entry) == domain),
            _ => self.find(list, domain, |entry| key(&inventory_key(entry))),
        }
    }

    #[cold]
    fn find(&self, list: StrList, text: &str, key_of: impl Fn(&str) -> u64) -> bool {
        let keys = || KeySet::of_keys(list.iter().map(|entry| key_of(&entry)).collect());
        self.0.get_or_init(keys).contains(key(text))
    }
}

/// Those of one video or audio offer.
#[derive(Debug, Default)]
pub struct SpotLists {
    pub mimes: Texts,
    pub protocols: Numbers,
    pub durations: Numbers,
    pub delivery: Numbers,
    pub battr: Numbers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_lists_have_their_entries() {
        for count in [0, 1, SHORT, SHORT + 1, 1_000] {
            let numbers: Vec<i64> = (0..count as i64).map(|i| i * 70 - 140).collect();
            let domains: Vec<String> = (0..count).map(|i| format!("Www.D{i}.example")).collect();
            let list = serde_json::json!({"mimes": domains, "battr": numbers});
            let body = format!("{{\"id\":\"r\",\"imp\":[{{\"id\":\"1\",\"video\":{list}}}]}}");
            let request = crate::openrtb::parse(body.as_bytes()).unwrap();
            let offered = request.imp[0].video.as_ref().unwrap();
            let (set, texts, keys) = (Numbers::default(), Texts::default(), Texts::default());
            for number in -141..141 {
                assert_eq!(set.have(offered.battr, number), numbers.contains(&number), "{number} of {count}");
            }
            for (i, domain) in domains.iter().enumerate() {
                assert!(texts.have(offered.mimes, domain));
                assert!(keys.have_domain(offered.mimes, &inventory_key(domain)), "{i} of {count}");
            }
            assert!(!texts.have(offered.mimes, "d0.example") && !keys.have_domain(offered.mimes, "other.example"));
        }
    }
}
