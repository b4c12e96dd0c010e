//! The numbers of campaigns: each id has one, for good.

use std::collections::HashMap;

use crate::ids::CampaignNo;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    by_id: HashMap<Box<str>, CampaignNo>,
    /// One above the largest.
    next: u32,
}

impl Numbers {
    pub fn of(&self, id: &str) -> Option<CampaignNo> {
        self.by_id.get(id).copied()
    }

    /// What a new campaign gets, if nobody was faster.
    pub fn next(&self) -> CampaignNo {
        CampaignNo(self.next)
    }

    pub(super) fn note(&mut self, id: &str, no: CampaignNo) {
        if !self.by_id.contains_key(id) {
            self.by_id.insert(id.into(), no);
            self.next = self.next.max(no.0.saturating_add(1));
        }
    }
}

impl<'a> FromIterator<(&'a str, CampaignNo)> for Numbers {
    fn from_iter<T: IntoIterator<Item = (&'a str, CampaignNo)>>(campaigns: T) -> Numbers {
        let mut numbers = Numbers::default();
        campaigns.into_iter().for_each(|(id, no)| numbers.note(id, no));
        numbers
    }
}
