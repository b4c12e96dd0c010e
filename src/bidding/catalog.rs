//! The catalog: an immutable snapshot of all campaigns in two layers.
//!
//! Building anything of all campaigns takes longer than an edit may. So an edit makes a new catalog with the same large
//! base, less the edited campaign, and with a small layer of what was edited, built anew. Both are scanned alike. Now
//! and then all is merged into a new base, which is then put under whatever was edited meanwhile.

use std::collections::HashSet;
use std::sync::Arc;

use super::compiled::Compiled;
use super::index::{self, Bitmap};
use super::live::Live;
use super::masks;
use super::part::{Entry, Part};
use crate::ids::{CampaignNo, Currency};
use crate::money::Rate;

#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Grows with each catalog.
    pub version: u64,
    /// What was edited since the base was built.
    recent: Layer,
    base: Layer,
}

/// A part, and which of its campaigns count: the others were edited or deleted since it was built.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub part: Arc<Part>,
    pub alive: Bitmap,
    count: usize,
}

/// All campaigns of a catalog in one part.
#[derive(Debug)]
pub struct Merged {
    /// The catalog's version.
    of: u64,
    part: Part,
}

/// Where a campaign stands: the layer, and the entry there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub layer: usize,
    pub entry: usize,
}

impl Layer {
    fn of(version: u64, mut part: Part) -> Layer {
        part.since = version;
        let count = part.entries.len();
        let first = |word: usize| masks::first(count.saturating_sub(word * 64));
        let alive = (0..index::words(count)).map(first).collect();
        Layer { part: Arc::new(part), alive, count }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn find(&self, campaign: CampaignNo) -> Option<usize> {
        self.part.place(campaign).filter(|at| self.alive[at / 64] >> (at % 64) & 1 == 1)
    }

    /// From now on the campaign does not count.
    fn kill(&mut self, campaign: CampaignNo) {
        if let Some(at) = self.find(campaign) {
            self.alive[at / 64] &= !(1 << (at % 64));
            self.count -= 1;
        }
    }

    fn alive(&self) -> impl Iterator<Item = &Entry> {
        let alive = |at: usize| self.alive[at / 64] >> (at % 64) & 1 == 1;
        self.part.entries.iter().enumerate().filter(move |(at, _)| alive(*at)).map(|(_, entry)| entry)
    }
}

impl Merged {
    pub fn is_of(&self, version: u64) -> bool {
        self.of == version
    }
}

impl Catalog {
    /// From campaigns whose currencies all have a rate; others are left out.
    pub fn build(
        version: u64,
        campaigns: &[(Arc<Compiled>, Arc<Live>)],
        rate: impl Fn(Currency) -> Option<Rate>,
    ) -> Catalog {
        let entries = campaigns.iter().filter_map(|(compiled, live)| {
            let rate = rate(compiled.currency)?;
            Some(Entry::new(compiled.clone(), live.clone(), rate))
        });
        let base = Layer::of(version, Part::build(entries.collect()));
        Catalog { version, recent: Layer::default(), base }
    }

    /// What was edited last comes first.
    pub fn layers(&self) -> [&Layer; 2] {
        [&self.recent, &self.base]
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.layers().into_iter().flat_map(Layer::alive)
    }

    pub fn entry(&self, place: Place) -> &Entry {
        &self.layers()[place.layer].part.entries[place.entry]
    }

    pub fn len(&self) -> usize {
        self.recent.count + self.base.count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn find(&self, campaign: CampaignNo) -> Option<&Entry> {
        self.layers().into_iter().find_map(|layer| layer.find(campaign).map(|at| &layer.part.entries[at]))
    }

    /// How far it is from having all in the base and nothing else: in campaigns.
    pub fn unmerged(&self) -> usize {
        self.recent.count.max(self.base.part.entries.len() - self.base.count)
    }

    /// Whether the two have the same base, which is what costs time to free.
    pub fn shares_base(&self, other: &Catalog) -> bool {
        Arc::ptr_eq(&self.base.part, &other.base.part)
    }

    /// With a campaign that is new, changed, or worth more than its cap.
    #[must_use]
    pub fn with(&self, entry: Entry) -> Catalog {
        let mut next = self.without(entry.no);
        let entries = next.recent.alive().cloned().chain([entry]).collect();
        next.recent = Layer::of(next.version, Part::build(entries));
        next
    }

    #[must_use]
    pub fn without(&self, campaign: CampaignNo) -> Catalog {
        let mut next = Catalog { version: self.version + 1, ..self.clone() };
        next.recent.kill(campaign);
        next.base.kill(campaign);
        next
    }

    /// All campaigns at their prices of now, as a base to be. Takes its time.
    pub fn merged(&self) -> Merged {
        let part = Part::build(self.base.alive().chain(self.recent.alive()).map(Entry::again).collect());
        Merged { of: self.version, part }
    }

    /// With a base that an earlier catalog was merged into. `edited` are the campaigns that were put or deleted, or whose
    /// price changed, since that one: of them the base may say anything.
    #[must_use]
    pub fn over(&self, base: Merged, edited: &HashSet<CampaignNo>) -> Catalog {
        let version = self.version + 1;
        let mut next = Catalog { version, recent: Layer::default(), base: Layer::of(version, base.part) };
        let mut recent = Vec::new();
        for campaign in edited {
            let Some(entry) = self.find(*campaign) else {
                next.base.kill(*campaign);
                continue;
            };
            let merged = next.base.part.place(*campaign).map(|at| &next.base.part.entries[at]);
            if !merged.is_some_and(|merged| Arc::ptr_eq(&merged.compiled, &entry.compiled) && merged.is_capped()) {
                recent.push(entry.again());
                next.base.kill(*campaign);
            }
        }
        if !recent.is_empty() {
            next.recent = Layer::of(version, Part::build(recent));
        }
        next
    }
}
