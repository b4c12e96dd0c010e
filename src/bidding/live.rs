//! What of a campaign changes without a new catalog: status, price, and the account it spends from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::pacing::pace::Pace;
use crate::ledger::Account;
use crate::money::Nanos;

/// Shared by all catalogs that hold the campaign with the same content, so an edit is in force at once and rebuilds
/// nothing. New content comes with a status and a price of its own: no bid has the one and not the other.
#[derive(Debug)]
pub struct Live {
    pub account: Arc<Account>,
    active: AtomicBool,
    price: AtomicI64,
    /// Of a paced click-priced campaign: a mean of what its last impressions were worth; 0 before the first.
    worth: AtomicI64,
    /// What an `even` campaign bids of its price.
    pub pace: Pace,
}

impl Live {
    pub fn new(account: Arc<Account>, active: bool, price: Nanos) -> Live {
        Live {
            account,
            active: AtomicBool::new(active),
            price: AtomicI64::new(price.0),
            worth: AtomicI64::new(0),
            pace: Pace::default(),
        }
    }

    /// For new content of the same campaign, on the same account, and on the same plan if it has been paced by now.
    pub fn succeed(&self, active: bool, price: Nanos) -> Live {
        Live { pace: self.pace.clone(), ..Live::new(self.account.clone(), active, price) }
    }

    pub fn active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Per impression, or per click.
    pub fn price(&self) -> Nanos {
        Nanos(self.price.load(Ordering::Relaxed))
    }

    pub fn set_price(&self, price: Nanos) {
        self.price.store(price.0, Ordering::Relaxed);
    }

    /// Notes what an impression is worth to a click-priced campaign. Two at once may lose one: it is a mean.
    pub fn note_worth(&self, worth: Nanos) {
        let mean = match self.worth.load(Ordering::Relaxed) {
            0 => worth.0,
            mean => mean + (worth.0 - mean) / 16,
        };
        self.worth.store(mean, Ordering::Relaxed);
    }

    /// What is bid for an impression when nothing holds bids down: about that, of a click-priced campaign.
    pub fn whole_bid(&self) -> Nanos {
        match self.worth.load(Ordering::Relaxed) {
            0 => self.price(),
            worth => Nanos(worth),
        }
    }
}
