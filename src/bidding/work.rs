//! How long a decision may take. The core reads no clock, so whoever asks passes one; it is looked at after so much work,
//! not after so much time: an ordinary request is answered without a look.

/// Units between two looks: a few tens of microseconds. A unit is a few words of the bitmaps.
const LOOK_AFTER: i64 = 4_096;
/// To verify one campaign, and each of its creatives.
pub(super) const CAMPAIGN: usize = 8;
pub(super) const CREATIVE: usize = 8;
/// To begin a scan: the bitmaps are looked up, and the lists of regions, cities and places.
pub(super) const SCAN: usize = 16;
/// To score a batch: as much as between two looks.
pub(super) const BATCH: usize = LOOK_AFTER as usize;

/// What is left of the time for one decision.
#[derive(Debug)]
pub(super) struct Work {
    /// Nanoseconds of a clock that only goes forward.
    pub timer: fn() -> u64,
    /// On that clock: no campaign is looked at after the first, no bid made after the second.
    pub until_ns: u64,
    pub ends_ns: u64,
    /// Units until the next look.
    left: i64,
    late: bool,
}

impl Default for Work {
    fn default() -> Work {
        Work { timer: || 0, until_ns: u64::MAX, ends_ns: u64::MAX, left: LOOK_AFTER, late: false }
    }
}

impl Work {
    pub fn begin(&mut self) {
        (self.left, self.late) = (LOOK_AFTER, false);
    }

    #[inline]
    pub fn spend(&mut self, units: usize) {
        self.left -= units as i64;
    }

    /// Whether the time is over; once it is, it stays so.
    #[inline]
    pub fn is_late(&mut self) -> bool {
        self.left < 0 && self.look()
    }

    /// Whether it is too late for a bid that was found.
    pub fn is_over(&self) -> bool {
        (self.timer)() >= self.ends_ns
    }

    #[cold]
    fn look(&mut self) -> bool {
        self.late = self.late || (self.timer)() >= self.until_ns;
        if !self.late {
            self.left = LOOK_AFTER;
        }
        self.late
    }
}
