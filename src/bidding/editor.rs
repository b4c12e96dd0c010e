//! Edits of the catalog in force, one after the other, while what they add up to may be merged elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::catalog::{Catalog, Merged};
use super::part::Entry;
use crate::ids::CampaignNo;

#[derive(Debug, Default)]
pub struct Editor {
    catalog: Arc<Catalog>,
    merge: Option<Merge>,
}

/// A merge that has begun and not ended.
#[derive(Debug)]
struct Merge {
    /// Version of the catalog that is merged.
    of: u64,
    /// Campaigns edited since: it may have read them before or after.
    edited: HashSet<CampaignNo>,
}

impl Editor {
    pub fn new(catalog: Catalog) -> Editor {
        Editor { catalog: Arc::new(catalog), merge: None }
    }

    /// What should be in force.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// A campaign is new, or something of it changed that is indexed.
    pub fn put(&mut self, entry: Entry) {
        self.note(entry.no);
        self.catalog = Arc::new(self.catalog.with(entry));
    }

    pub fn delete(&mut self, campaign: CampaignNo) {
        self.note(campaign);
        self.catalog = Arc::new(self.catalog.without(campaign));
    }

    /// A campaign's price is another one now. Changes the catalog only if it is above the campaign's cap.
    pub fn price_changed(&mut self, campaign: CampaignNo) {
        self.note(campaign);
        if let Some(raised) = self.catalog.find(campaign).filter(|entry| !entry.is_capped()) {
            self.catalog = Arc::new(self.catalog.with(raised.again()));
        }
    }

    fn note(&mut self, campaign: CampaignNo) {
        if let Some(merge) = &mut self.merge {
            merge.edited.insert(campaign);
        }
    }

    /// The catalog to merge. A merge that began earlier and has not ended does not count any more.
    pub fn begin_merge(&mut self) -> Arc<Catalog> {
        let of = self.catalog.version;
        // Of the same catalog it may be either that ends: what was edited since the first stays noted.
        if self.merge.as_ref().is_none_or(|merge| merge.of != of) {
            self.merge = Some(Merge { of, edited: HashSet::new() });
        }
        self.catalog.clone()
    }

    /// Puts the merged base under what was edited since. False when the merge does not count any more.
    pub fn end_merge(&mut self, merged: Merged) -> bool {
        let Some(merge) = self.merge.take_if(|merge| merged.is_of(merge.of)) else { return false };
        self.catalog = Arc::new(self.catalog.over(merged, &merge.edited));
        true
    }
}
