//! Campaigns that a request as a whole has lost, whatever the impression: they are verified once, not for each impression
//! and deal. Only kept where there are several of those.

use super::catalog::Place;
use super::decide::Ask;
use super::part::Entry;
use super::reason::Reason;
use super::subject::Subject;

#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Anything is asked for more than once.
    kept: bool,
    lists: Vec<List>,
}

/// Of one layer of the catalog those that were lost for one reason.
#[derive(Debug)]
struct List {
    layer: usize,
    reason: Reason,
    bits: Vec<u64>,
}

impl Refused {
    pub fn begin(&mut self, kept: bool) {
        self.kept = kept;
        self.lists.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Those of word `at`, each for its reason. Who has deals is only lost to the open market.
    pub fn word(&self, layer: usize, at: usize, for_deal: bool) -> impl Iterator<Item = (Reason, u64)> {
        let lists = self.lists.iter().filter(move |list| list.layer == layer);
        lists
            .filter(move |list| !for_deal || list.reason != Reason::Deal)
            .filter_map(move |list| Some((list.reason, *list.bits.get(at)?)))
    }

    fn add(&mut self, place: Place, reason: Reason) {
        let list = self.lists.iter().position(|list| (list.layer, list.reason) == (place.layer, reason));
        let list = list.unwrap_or_else(|| {
            self.lists.push(List { layer: place.layer, reason, bits: Vec::new() });
            self.lists.len() - 1
        });
        let bits = &mut self.lists[list].bits;
        if bits.len() <= place.entry / 64 {
            bits.resize(place.entry / 64 + 1, 0);
        }
        bits[place.entry / 64] |= 1 << (place.entry % 64);
    }
}

impl Ask<'_, '_> {
    /// Remembers that a campaign was lost for `reason`, if no other impression or deal changes that.
    #[cold]
    pub(super) fn remember(
        &self,
        place: Place,
        entry: &Entry,
        reason: Reason,
        for_deal: bool,
        subject: &mut Subject,
        refused: &mut Refused,
    ) {
        let of_request = match reason {
            Reason::Paused
            | Reason::Dates
            | Reason::HourOfWeek
            | Reason::Region
            | Reason::City
            | Reason::Inventory
            | Reason::Category
            | Reason::Segment
            | Reason::ModelMissing
            | Reason::UnknownUser
            | Reason::FrequencyCap => true,
            Reason::Deal => !for_deal,
            Reason::BlockedAdvertiser | Reason::BlockedCategory => entry.compiled.creatives.iter().all(|creative| {
                subject.blocks_advertiser(self.request, creative.domains())
                    || subject.blocks_category(self.request, &creative.creative, creative.categories())
            }),
            _ => false,
        };
        if of_request {
            refused.add(place, reason);
        }
    }
}
