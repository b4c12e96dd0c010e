//! The world's own record of who was shown what: all times of all booked impressions, in plain lists.
//!
//! A cap counts booked impressions. What is bid and not billed yet does not count, so a burst passes: the promise that
//! is checked is that no bid is made for a user whose booked impressions within a cap's window have reached the cap.

use std::collections::{BTreeMap, BTreeSet};

use gavel::clock::UnixMs;

#[derive(Clone, Copy, Debug)]
struct Impression {
    at: UnixMs,
    is: Is,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Counted,
    /// Of a campaign that was deleted when the process began or when it came: nobody had reason to remember it. It is
    /// remembered again from the next start on.
    Unremembered,
    /// A bill that came again. A start that reads the log back from where no token can matter any more may take it for
    /// the first, where tokens once lived longer.
    Again,
}

#[derive(Debug, Default)]
pub struct Users {
    shown: BTreeMap<(u32, u32), Vec<Impression>>,
    unremembered: BTreeSet<u32>,
    /// When the process read the log back.
    began_at: UnixMs,
}

/// How often a user has seen a campaign within a window: at least, and at most as far as the process can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub least: u32,
    pub most: u32,
}

impl Users {
    /// A process has read the log back; it does not know the campaigns that are `deleted`.
    pub fn read_back(&mut self, at: UnixMs, deleted: impl Iterator<Item = u32>) {
        self.began_at = at;
        self.unremembered = deleted.collect();
        let unremembered = &self.unremembered;
        for ((campaign, _), list) in &mut self.shown {
            let is = if unremembered.contains(campaign) { Is::Unremembered } else { Is::Counted };
            list.iter_mut().filter(|i| i.is != Is::Again).for_each(|i| i.is = is);
        }
    }

    /// From now on the process remembers the users of a campaign that was put again.
    pub fn remembers(&mut self, campaign: u32) {
        self.unremembered.remove(&campaign);
    }

    pub fn booked(&mut self, campaign: u32, user: u32, at: UnixMs) {
        let is = if self.unremembered.contains(&campaign) { Is::Unremembered } else { Is::Counted };
        self.shown.entry((campaign, user)).or_default().push(Impression { at, is });
    }

    pub fn booked_again(&mut self, campaign: u32, user: u32, at: UnixMs) {
        self.shown.entry((campaign, user)).or_default().push(Impression { at, is: Is::Again });
    }

    /// In the window of `ms` that ends at `now`.
    pub fn shown(&self, campaign: u32, user: u32, now: UnixMs, ms: i64) -> Shown {
        let list = self.shown.get(&(campaign, user)).into_iter().flatten();
        let within = list.filter(|i| now.since(i.at) < ms);
        let mut shown = Shown { least: 0, most: 0 };
        for i in within {
            shown.least += u32::from(i.is == Is::Counted);
            shown.most += u32::from(i.is != Is::Again || i.at <= self.began_at);
        }
        shown
    }
}
