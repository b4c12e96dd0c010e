//! What the bid path asks of `fraud::traffic`: the two rooms do not know one another.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::bidding::{Reason, Screen};
use crate::clock::UnixMs;
use crate::fraud::traffic::{self, Activity, Lists, Verdict};
use crate::openrtb::imp::Imp;
use crate::openrtb::request::BidRequest;

/// The lists in force, and who asked lately.
pub struct TrafficScreen {
    pub lists: Arc<ArcSwap<Lists>>,
    pub activity: Arc<Activity>,
}

fn reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Crawler => Reason::Crawler,
        Verdict::DataCentre => Reason::DataCentre,
        Verdict::BadPublisher => Reason::BlockedPublisher,
        Verdict::IpActivity => Reason::IpActivity,
        Verdict::UserActivity => Reason::UserActivity,
        Verdict::TinyPlacement => Reason::TinyPlacement,
    }
}

impl Screen for TrafficScreen {
    fn request(&self, exchange: &str, request: &BidRequest, now: UnixMs) -> Result<(), Reason> {
        traffic::request(&self.lists.load(), &self.activity, exchange, request, now).map_err(reason)
    }

    fn user(&self, user: u64, now: UnixMs) -> Result<(), Reason> {
        traffic::user(&self.activity, user, now).map_err(reason)
    }

    fn counts_users(&self) -> bool {
        self.activity.by_user.is_some()
    }

    fn imp(&self, imp: &Imp) -> Result<(), Reason> {
        traffic::imp(imp).map_err(reason)
    }
}
