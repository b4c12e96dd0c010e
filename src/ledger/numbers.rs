//! The numbers of campaigns: each id has one, for good.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::book::CampaignBook;
use crate::ids::CampaignNo;

type ByNo = HashMap<CampaignNo, Arc<CampaignBook>>;

/// By id, which stands in the campaign's book and not once more in here. The books are those that it was made for.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    by_id: HashTable<CampaignNo>,
    hash: RandomState,
    /// One above the largest.
    next: u32,
}

impl Numbers {
    pub(super) fn of(&self, id: &str, books: &ByNo) -> Option<CampaignNo> {
        let is_it = |no: &CampaignNo| books.get(no).is_some_and(|book| book.id == id);
        self.by_id.find(self.hash.hash_one(id), is_it).copied()
    }

    /// What a new campaign gets, if nobody was faster.
    pub fn next(&self) -> CampaignNo {
        CampaignNo(self.next)
    }

    /// Takes in a campaign that is new among `books`, and whose id no other one has.
    pub(super) fn note(&mut self, no: CampaignNo, books: &ByNo) {
        let hash = |no: &CampaignNo| self.hash.hash_one(books.get(no).map_or("", |book| &book.id));
        self.by_id.insert_unique(hash(&no), no, hash);
        self.next = self.next.max(no.0.saturating_add(1));
    }
}

/// What the ids are stands in the books, which are compared themselves.
impl PartialEq for Numbers {
    fn eq(&self, other: &Numbers) -> bool {
        (self.next, self.by_id.len()) == (other.next, other.by_id.len())
    }
}

impl Eq for Numbers {}

impl From<&ByNo> for Numbers {
    fn from(books: &ByNo) -> Numbers {
        let mut numbers = Numbers::default();
        books.keys().for_each(|no| numbers.note(*no, books));
        numbers
    }
}
