//! Tracking events that were logged lately. Their URLs are public: one that is called again and again must not fill the
//! disk.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use crate::event::Track;
use crate::ids::ReservationId;

/// Sets of [`WAYS`] events: 512 KiB for each worker, whatever comes. The newest 65,536 events or so are remembered, and
/// one that keeps coming is among the newest of its set.
const SETS: usize = 8_192;
const WAYS: usize = 8;
/// How often the low byte of an entry can count, and the rest tells events apart.
const TIMES: u64 = 0xff;

/// How often one reservation's event is logged. A pixel is shown once. Somebody may click twice or buy twice, and each
/// counts; more than this is a machine.
const fn most(what: Track) -> u64 {
    match what {
        Track::Impression => 1,
        Track::Click | Track::Conversion => 16,
    }
}

/// One worker's memory of them.
pub struct Repeats {
    sets: Box<[[u64; WAYS]]>,
    state: RandomState,
}

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats { sets: vec![[0; WAYS]; SETS].into(), state: RandomState::default() }
    }
}

impl Repeats {
    /// The event that was noted last was not logged after all.
    pub fn take_back(&mut self, what: Track, reservation: ReservationId) {
        let hash = self.state.hash_one((what, reservation));
        let newest = &mut self.sets[hash as usize % SETS][0];
        if (*newest ^ hash) & !TIMES == 0 && *newest & TIMES > 0 {
            *newest -= 1;
        }
    }

    /// Takes note of an event; whether it is to be logged. Forgotten are, in each set, those that came longest ago.
    pub fn note(&mut self, what: Track, reservation: ReservationId) -> bool {
        let hash = self.state.hash_one((what, reservation));
        let set = &mut self.sets[hash as usize % SETS];
        let known = set.iter().position(|entry| *entry != 0 && (entry ^ hash) & !TIMES == 0);
        let times = known.map_or(0, |at| set[at] & TIMES);
        let is_new = times < most(what);
        set[..=known.unwrap_or(WAYS - 1)].rotate_right(1);
        set[0] = hash & !TIMES | (times + u64::from(is_new));
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, NodeId};

    fn id(seq: u32) -> ReservationId {
        ReservationId { node: NodeId(1), epoch: Epoch(1), bucket: 7, seq }
    }

    #[test]
    fn a_pixel_is_logged_once_and_a_click_some_times() {
        let mut repeats = Repeats::default();
        let logged = |repeats: &mut Repeats, what, seq| (0..100).filter(|_| repeats.note(what, id(seq))).count();
        for seq in 0..1_000 {
            assert_eq!(logged(&mut repeats, Track::Impression, seq), 1);
            assert_eq!(logged(&mut repeats, Track::Click, seq), 16);
            assert_eq!(logged(&mut repeats, Track::Conversion, seq), 16);
        }
    }

    #[test]
    fn what_was_not_logged_may_come_again() {
        let mut repeats = Repeats::default();
        for what in [Track::Impression, Track::Click] {
            for _ in 0..100 {
                assert!(repeats.note(what, id(1)));
                repeats.take_back(what, id(1));
            }
        }
        assert!(repeats.note(Track::Impression, id(1)) && !repeats.note(Track::Impression, id(1)));
    }

    #[test]
    fn what_keeps_coming_is_not_forgotten_and_the_rest_is() {
        let mut repeats = Repeats::default();
        assert!(repeats.note(Track::Impression, id(0)));
        let others = 1..1_000_000;
        let new = others.filter(|seq| {
            assert!(seq % 100 != 0 || !repeats.note(Track::Impression, id(0)), "forgotten after {seq} others");
            repeats.note(Track::Impression, id(*seq))
        });
        assert_eq!(new.count(), 999_999);
        assert!(repeats.note(Track::Impression, id(1)), "the memory is bounded");
    }
}
