//! `key=value` lines, in sections that end with an empty line.

use std::str::FromStr;

use crate::scoring::fault::Fault;

pub struct Lines<'t> {
    lines: std::str::Lines<'t>,
    number: usize,
}

impl<'t> Lines<'t> {
    pub fn new(bytes: &'t [u8]) -> Result<Lines<'t>, Fault> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Fault::new(format!("byte {}", error.valid_up_to()), "the file is not UTF-8"))?;
        Ok(Lines { lines: text.lines(), number: 0 })
    }

    pub fn next_line(&mut self) -> Option<&'t str> {
        self.number += 1;
        self.lines.next().map(|line| line.trim_end_matches('\r'))
    }

    /// Of the last line taken.
    pub fn place(&self) -> String {
        format!("line {}", self.number)
    }
}

/// Its keys; a line without `=` is a key without a value.
pub struct Section<'t> {
    entries: Vec<(&'t str, &'t str)>,
}

/// More keys than any section has.
const MAX_KEYS: usize = 1_000;

impl<'t> Section<'t> {
    /// Reads up to the next empty line.
    pub fn read(lines: &mut Lines<'t>) -> Result<Section<'t>, Fault> {
        let mut entries = Vec::new();
        while let Some(line) = lines.next_line() {
            if line.is_empty() {
                return Ok(Section { entries });
            }
            if entries.len() == MAX_KEYS {
                break;
            }
            entries.push(line.split_once('=').unwrap_or((line, "")));
        }
        Err(Fault::new(lines.place(), "the section does not end with an empty line"))
    }

    pub fn text(&self, key: &str) -> Option<&'t str> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    pub fn has(&self, key: &str) -> bool {
        self.text(key).is_some()
    }

    pub fn count(&self, key: &str) -> Result<usize, Fault> {
        let text = self.text(key).ok_or_else(|| Fault::new(key, "is missing"))?;
        text.trim().parse().map_err(|_| Fault::new(key, format!("`{text:.20}` is no count")))
    }

    /// Exactly `count` numbers. A key that is not there is an empty list.
    pub fn list<T: FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, Fault> {
        let words = self.text(key).unwrap_or("").split_whitespace();
        let found = words.clone().count();
        if found != count {
            return Err(Fault::new(key, format!("has {found} numbers, not {count}")));
        }
        words
            .enumerate()
            .map(|(at, word)| word.parse().map_err(|_| Fault::new(key, format!("entry {at}: `{word:.30}`"))))
            .collect()
    }

    /// A list of any length.
    pub fn list_of_any<T: FromStr>(&self, key: &str) -> Result<Vec<T>, Fault> {
        self.list(key, self.text(key).unwrap_or("").split_whitespace().count())
    }
}

/// Most categories that all splits of a model list, 64 MB of them: a word of a few digits stands for up to 32.
pub const MAX_LISTED: usize = 16 << 20;

/// The category sets of one tree: bits in words.
pub struct Sets {
    boundaries: Vec<usize>,
    words: Vec<u32>,
    taken: Vec<bool>,
}

impl Sets {
    pub fn read(section: &Section) -> Result<Sets, Fault> {
        let boundaries = section.list_of_any("cat_boundaries")?;
        let taken = vec![false; boundaries.len()];
        Ok(Sets { boundaries, words: section.list_of_any("cat_threshold")?, taken })
    }

    /// Appends the categories of the set with this number. Each belongs to one split: what a file lists once is held
    /// once.
    pub fn take(&mut self, number: f64, out: &mut Vec<u32>) -> Result<(), Fault> {
        let fault = |what: &str| Err(Fault::new("cat_boundaries", format!("set {number} {what}")));
        let set = number as usize;
        if number != set as f64 || set >= self.boundaries.len().saturating_sub(1) {
            return fault("does not exist");
        }
        if std::mem::replace(&mut self.taken[set], true) {
            return fault("belongs to two splits");
        }
        let Some(words) = self.words.get(self.boundaries[set]..self.boundaries[set + 1]) else {
            return fault("is out of range");
        };
        // Before there is room for them.
        let listed = words.iter().fold(0, |sum, word| sum + word.count_ones() as usize);
        if listed > MAX_LISTED - out.len().min(MAX_LISTED) {
            return fault(&format!("makes more than {MAX_LISTED} categories in all"));
        }
        for (place, word) in (0u32..).zip(words) {
            out.extend((0..32).filter(|bit| word >> bit & 1 == 1).map(|bit| place * 32 + bit));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_categories_than_are_held_are_refused_before_there_is_room_for_them() {
        let (mut out, mut refused) = (Vec::new(), 0);
        for _ in 0..5 {
            let words = vec![u32::MAX; MAX_LISTED / 32 / 4];
            let mut sets = Sets { taken: vec![false; 2], boundaries: vec![0, words.len()], words };
            refused += sets.take(0.0, &mut out).is_err_and(|fault| fault.message.contains("more than")) as usize;
        }
        assert_eq!((refused, out.len()), (1, MAX_LISTED), "four fit");
        assert!(out.capacity() <= 2 * MAX_LISTED);
    }

    #[test]
    fn sets_that_do_not_exist_are_refused_however_large_their_number() {
        for boundaries in [vec![], vec![0], vec![0, 1]] {
            let mut sets = Sets { taken: vec![false; boundaries.len()], boundaries, words: vec![5] };
            for number in [1.0, -1.0, 0.5, f64::NAN, f64::INFINITY, usize::MAX as f64, 1e300] {
                assert!(sets.take(number, &mut Vec::new()).is_err(), "{number}");
            }
            let mut found = Vec::new();
            assert_eq!(sets.take(0.0, &mut found).is_ok(), sets.boundaries.len() == 2);
            assert_eq!(found, if sets.boundaries.len() == 2 { vec![0, 2] } else { vec![] });
        }
    }
}
