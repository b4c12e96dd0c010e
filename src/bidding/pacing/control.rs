//! The controller: from how spend compares with the plan to a multiplier, once a second.

use super::pace::RAISE_SLOPE;

/// Below this the multiplier's logarithm does not go: a thousandth of the price is hardly a bid.
const LEAST: f64 = -7.0;
/// How far the speed aimed at may lie from the plan's, to come back to the plan.
const AIM: (f64, f64) = (0.1, 3.0);
/// No error counts for more than this, as a logarithm: where nothing is spent there is no logarithm at all.
const MOST_ERROR: f64 = 2.5;
/// What is gained per second of delay, for a market as steep as one in which all bid the same.
const GAIN: f64 = 0.5 / RAISE_SLOPE;
/// What a stride grows by per delay, and up to.
const STRIDE: f64 = 0.15;
const MOST_STRIDE: f64 = 6.0;
/// Up and down of the multiplier that says nothing.
const LEVEL_NOISE: f64 = 0.05;
/// As an error, a second in which bids were held because spend is too far ahead.
const HELD_ERROR: f64 = -3.0;
/// How far spend may be ahead of the plan before bids are held: a part of the amount, or a few bids.
const AHEAD: f64 = 0.005;
const AHEAD_BIDS: f64 = 2.0;
/// So many seconds without a bid are a lack of demand.
const SILENT: f64 = 30.0;
/// After so many without a request the multiplier does not rise: nothing says that it is too low.
const UNASKED: f64 = 10.0;
const STAGES: usize = 4;
/// So long nothing is given up as lost while no notice has come at all, for nobody knows how long notices take; and
/// the first guess of that.
const FIRST_WAIT: f64 = 120.0;

/// What is seen of a campaign in one look. Money in nanos.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub seconds: f64,
    /// What the plan says for now, per second, and for the whole period.
    pub planned: f64,
    pub speed: f64,
    pub amount: f64,
    pub seconds_left: f64,
    /// Booked in the period.
    pub spent: f64,
    /// Won and not billed.
    pub unbilled: f64,
    /// Totals that only grow: set aside by bids; won or billed, whichever was told first; and the latter times the
    /// seconds since its bids.
    pub promised: f64,
    pub told: f64,
    pub waited: f64,
    /// The whole price.
    pub price: f64,
    /// What bids may still set aside.
    pub room: f64,
    pub can_bid: bool,
    /// Since the last look there was a request that the campaign may bid for; bids were held.
    pub asked: bool,
    pub held: bool,
}

/// The share of one sum in another, in which what is long ago counts little.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    part: f64,
    of: f64,
}

impl Share {
    fn get(&self) -> f64 {
        self.part / self.of
    }

    /// Forgets all but `keep`, though never so much that less than `least` would be left to divide by.
    fn add(&mut self, part: f64, of: f64, keep: f64, least: f64) {
        let keep = keep.max(least / self.of).min(1.0);
        (self.part, self.of) = (self.part * keep + part, self.of * keep + of);
    }
}

#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Logarithm of the multiplier.
    level: f64,
    /// Set aside by bids of which nothing was told yet, but may be; money passes from stage to stage, each a part of
    /// the mean time that notices take, so that hardly any leaves early.
    stages: [f64; STAGES],
    /// What was told of what is settled: of the money that has left the stages.
    yielded: Share,
    /// Seconds from a bid to the first notice of it, by money.
    waited: Share,
    /// Mean levels at which what is in the stages, and what is settled, was bid.
    open_level: f64,
    settled_level: f64,
    /// Seconds for which the multiplier has been too high or too low, and on which side.
    erring: f64,
    side: f64,
    /// Seconds without a bid, without a request, and with bids but without any notice so far.
    silent: f64,
    unasked: f64,
    untold: f64,
    /// Smoothed spend per second, as bids make it.
    speed: f64,
    /// What a new campaign was given to begin with and did not use, and what the plan has come to while there was
    /// somebody to follow it, since gavel started: see [`Control::room`].
    gone: f64,
    /// The totals of the last look: promised, told, waited.
    last: Option<(f64, f64, f64)>,
}

impl Control {
    pub fn multiplier(&self) -> f64 {
        self.level.exp()
    }

    /// There is no demand: the whole price is bid, or no bid could be made for long.
    pub fn lacks_demand(&self) -> bool {
        self.level >= 0.0 || self.silent >= SILENT
    }

    fn open(&self) -> f64 {
        self.stages.iter().sum()
    }

    /// Mean seconds from a bid to the first that is told of it.
    fn wait(&self) -> f64 {
        self.waited.get()
    }

    /// What of the money set aside becomes spend.
    fn yield_share(&self) -> f64 {
        self.yielded.get().clamp(0.001, 1.0)
    }

    /// What counts as spent: booked, won, and what is expected of bids of which nothing is known.
    pub fn counted(&self, seen: &Seen) -> f64 {
        seen.spent + seen.unbilled + self.yield_share() * self.open()
    }

    /// As [`Control::counted`]; before the first look nothing is known but what is booked.
    pub fn counted_or(&self, seen: &Seen) -> f64 {
        if self.last.is_some() { self.counted(seen) } else { seen.spent + seen.unbilled }
    }

    /// Takes note of what has happened since the last look.
    pub fn observe(&mut self, seen: &Seen) {
        let bid = seen.price.max(1.0);
        let Some((promised, told, waited)) = self.last.replace((seen.promised, seen.told, seen.waited)) else {
            // Before anything is known, whatever is set aside counts as spent.
            self.yielded = Share { part: bid, of: bid };
            self.waited = Share { part: FIRST_WAIT * bid, of: bid };
            self.gone = seen.room;
            return;
        };
        self.gone += if seen.can_bid { seen.speed * seen.seconds } else { 0.0 };
        // A campaign that was deleted and put again, or a new day, counts from zero.
        let since = |now: f64, then: f64| (now - then).max(0.0);
        let (promised, told, waited) =
            (since(seen.promised, promised), since(seen.told, told), since(seen.waited, waited));
        let between = bid / seen.speed.max(1e-9);
        let memory = 30f64.max(3.0 * self.wait()).max(20.0 * between).min(7_200.0);
        let keep = (-seen.seconds / memory).exp();
        self.waited.add(waited, told, keep, bid);
        let before = self.open();
        self.untold = if told > 0.0 { FIRST_WAIT } else { self.untold + if before > 0.0 { seen.seconds } else { 0.0 } };
        let settled = self.pass(promised, seen.seconds);
        self.open_level += (self.level - self.open_level) * share(promised, before);
        self.settled_level += (self.open_level - self.settled_level) * share(settled, self.yielded.of * keep);
        self.yielded.add(told, settled, keep, bid);
        self.unasked = if seen.asked { 0.0 } else { self.unasked + seen.seconds };
        self.silent = if promised > 0.0 || seen.held { 0.0 } else { self.silent + seen.seconds };
        let made = told + self.yield_share() * (self.open() - before);
        self.speed += (made / seen.seconds - self.speed) * (1.0 - (-seen.seconds / self.smooth(seen)).exp());
    }

    /// Takes what was set aside into the stages, moves them on, and returns what left them.
    fn pass(&mut self, promised: f64, seconds: f64) -> f64 {
        self.stages[0] += promised;
        let mut leaving = 0.0;
        if self.untold >= FIRST_WAIT {
            let part = 1.0 - (-seconds * STAGES as f64 / self.wait().max(0.2)).exp();
            for stage in &mut self.stages {
                *stage += leaving;
                leaving = *stage * part;
                *stage -= leaving;
            }
        }
        leaving
    }

    /// A new period: what was set aside belongs to the last one.
    pub fn forget_open(&mut self) {
        self.stages = [0.0; STAGES];
    }

    /// Seconds over which speed is smoothed: some impressions must fall into it.
    fn smooth(&self, seen: &Seen) -> f64 {
        (4.0 * seen.price / seen.speed.max(1e-9)).clamp(4.0, 1_200.0)
    }

    /// One step of the multiplier.
    pub fn step(&mut self, seen: &Seen) {
        // Anti-windup: what cannot act does not add up.
        if !seen.can_bid || seen.speed <= 0.0 {
            return;
        }
        let behind = (seen.planned - self.counted(seen)) / seen.speed;
        let gain = GAIN / (self.wait() + self.smooth(seen) + 1.0);
        let horizon = (1.5 / gain).min(seen.seconds_left / 8.0).max(20.0);
        let aim = (1.0 + behind / horizon).clamp(AIM.0, AIM.1);
        let speed = (self.speed / seen.speed).max(AIM.0 / 2.0);
        let error = if seen.held { HELD_ERROR } else { (aim / speed).ln().clamp(-MOST_ERROR, MOST_ERROR) };
        if error > 0.0 && self.unasked >= UNASKED {
            return;
        }
        // The level is held within its bounds, so it does not wind up where it has no effect.
        self.level = (self.level + self.stride(seen, error, gain) * gain * error * seen.seconds).clamp(LEAST, 0.0);
    }

    /// The longer the multiplier errs on one side, the longer its strides: markets differ tenfold in how steep they
    /// are, and the gain is for the steepest.
    fn stride(&mut self, seen: &Seen, error: f64, gain: f64) -> f64 {
        let side = if error.abs() < 0.1 { 0.0 } else { error.signum() };
        self.erring = if side == self.side { self.erring + seen.seconds } else { 0.0 };
        self.side = side;
        (1.0 + self.erring * gain / GAIN * STRIDE).min(MOST_STRIDE)
    }

    /// What bids may set aside in the next second: what the plan has room for, and a little more than the plan. Only a
    /// stop for what the multiplier cannot hold: an unknown market, or many times the requests at once.
    ///
    /// After a start nobody knows how far spend was ahead before it: the plan begins at what is spent, and what spend
    /// may be ahead by grows from nothing, as the plan itself does, to its whole. So many starts, however short, spend
    /// at most twice what the plan says for their time, and a second of it each.
    pub fn room(&self, seen: &Seen) -> f64 {
        let ahead = (AHEAD * seen.amount).max(AHEAD_BIDS * seen.price).min(self.gone);
        // A higher multiplier than the ones that something is known of may win more, but only so much.
        let steeper = (RAISE_SLOPE * (self.open_level - self.settled_level - LEVEL_NOISE).max(0.0)).exp();
        let yields = (self.yield_share() * steeper).min(1.0);
        let left = seen.planned + seen.speed + ahead - (seen.spent + seen.unbilled + yields * self.open());
        (left / yields).max(0.0)
    }
}

/// How far a mean moves when `new` joins what weighs `old`.
fn share(new: f64, old: f64) -> f64 {
    if new > 0.0 { new / (new + old) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Seen = Seen {
        seconds: 1.0,
        planned: 0.0,
        speed: 1e7,
        amount: 8.64e11,
        seconds_left: 86_400.0,
        spent: 0.0,
        unbilled: 0.0,
        promised: 0.0,
        told: 0.0,
        waited: 0.0,
        price: 1e7,
        room: 0.0,
        can_bid: true,
        asked: true,
        held: false,
    };

    fn look(control: &mut Control, seen: &Seen) {
        control.observe(seen);
        control.step(seen);
    }

    #[test]
    fn a_week_without_anything_leaves_every_number_finite() {
        let mut control = Control::default();
        look(&mut control, &SEEN);
        look(&mut control, &Seen { promised: 1e7, told: 5e6, waited: 1e7, ..SEEN });
        for second in 0..7 * 86_400 {
            let seen = Seen { promised: 1e7, told: 5e6, waited: 1e7, can_bid: second % 2 == 0, ..SEEN };
            look(&mut control, &seen);
        }
        assert!(control.multiplier() > 0.0 && control.room(&SEEN).is_finite(), "{control:?}");
        assert!(control.counted(&SEEN).is_finite() && control.wait() > 0.0, "{control:?}");
    }

    #[test]
    fn it_does_not_wind_up_beyond_its_bounds_or_where_it_cannot_act() {
        let mut control = Control::default();
        for second in 0..10_000 {
            look(&mut control, &Seen { planned: 1e7 * f64::from(second), ..SEEN });
        }
        assert_eq!(control.level, 0.0, "far behind at the whole price");
        let ahead = |control: &mut Control, can_bid, seconds: u32| {
            for second in 1..=seconds {
                let spent = 3e7 * f64::from(second);
                look(control, &Seen { promised: spent, told: spent, spent: 1e11 + spent, can_bid, ..SEEN });
            }
        };
        ahead(&mut control, false, 100);
        assert_eq!(control.level, 0.0, "nothing moves while it cannot bid");
        ahead(&mut control, true, 100);
        assert!(control.level < -0.1, "after hours at the bound it falls at once: {}", control.level);
        let low = control.level;
        for _ in 0..100 {
            look(&mut control, &Seen { planned: 1e12, promised: 3e9, told: 3e9, asked: false, ..SEEN });
        }
        assert!(control.level < low + 0.2, "without requests it hardly rises: from {low} to {}", control.level);
    }

    #[test]
    fn what_is_set_aside_counts_until_something_is_known() {
        let mut control = Control::default();
        look(&mut control, &SEEN);
        for second in 1..60 {
            look(&mut control, &Seen { promised: 2e7 * f64::from(second), ..SEEN });
        }
        let seen = Seen { promised: 1.18e9, ..SEEN };
        assert!(control.counted(&seen) > 1.1e9, "{}", control.counted(&seen));
    }
}
