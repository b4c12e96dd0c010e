//! Starts that come more often than the interval that leases of an earlier start must wait.

use gavel::ids::{CampaignNo, Epoch};

use crate::rules::LONGEST_MS;
use crate::world::World;

/// How long each start lasts.
const RUN_MS: i64 = LONGEST_MS / 8;
/// At the end of each start some of its time has not been in the log yet.
const STARTS: i64 = 10;

impl World {
    fn earliest_lease(&self) -> Option<Epoch> {
        let life = self.life.as_ref()?;
        let campaigns = 0..self.terms.len() as u32;
        let first = |no| life.with_hot(|hot| hot.books().campaigns.get(&CampaignNo(no))?.leases.keys().next().copied());
        campaigns.filter_map(first).map(|(epoch, _)| epoch).min()
    }

    fn start_well(&mut self) {
        while self.life.is_none() {
            self.start();
        }
        self.disk.die_after(u64::MAX);
    }

    /// Returns how many of the starts began with a lease of the first.
    pub fn restless(&mut self) -> i64 {
        self.start_well();
        for _ in 0..20 {
            self.bid();
            self.wait(100);
        }
        let first = self.earliest_lease().expect("bids are open");
        for start in 0..STARTS {
            match start % 3 {
                0 => self.stop(),
                1 => self.crash(false),
                _ => self.crash(true),
            }
            self.start_well();
            if self.earliest_lease() != Some(first) {
                return start;
            }
            self.wait(RUN_MS);
            self.check();
        }
        panic!("the leases of start {} are withheld for ever", first.0);
    }
}

#[test]
fn what_is_withheld_comes_back_although_no_start_lasts_for_the_interval() {
    let waited: Vec<i64> = (0..40).map(|seed| World::new(seed).restless()).collect();
    assert!(waited.iter().any(|starts| *starts > 1), "{waited:?}");
}
