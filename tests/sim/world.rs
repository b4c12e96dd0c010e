//! The world: what can happen, drawn from the seed, one thing after another.

use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;
use gavel::bidding::campaign::Campaign;
use gavel::eventlog::mem::MemStorage;
use gavel::eventlog::{LogConfig, Prepared, Step};
use gavel::ledger::Books;

use crate::campaigns::{Terms, terms};
use crate::count::{Counts, Kind};
use crate::exchange::Packet;
use crate::journal::Journal;
use crate::life::Life;

/// As `app` keeps reservation bits: longer than tokens live, by more than a notice may wait for the disk.
pub const BITS_GRACE_MS: i64 = 120_000;
/// The longest time the disk stands still. More would be longer than bids go on without it.
const STALL_MS: i64 = 8_000;
const STEPS: usize = 260;

pub struct World {
    pub rng: Rng,
    pub now: i64,
    pub disk: MemStorage,
    pub config: LogConfig,
    pub terms: Vec<Terms>,
    /// The campaigns as the operator's files have them.
    pub files: Vec<Campaign>,
    /// The book store, and what it held one save earlier.
    pub stored: Books,
    pub stored_before: Books,
    pub life: Option<Life>,
    pub journal: Journal,
    pub network: Vec<Packet>,
    /// Every bid's token and when it expires, by its place in the journal.
    pub tokens: Vec<(Vec<u8>, i64)>,
    pub keys: Vec<(u8, [u8; 32])>,
    pub edits: u64,
    pub counts: Counts,
    /// The wall clock less the world's time, as the next start finds it.
    pub skew_ms: i64,
    pub stalled_until: i64,
    pub disk_full: bool,
    telling: bool,
}

pub struct End {
    pub counts: Counts,
    pub digest: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        // Often shortly before midnight somewhere.
        let midnight = 1_700_006_400_000 + rng.i64(0..200) * 86_400_000;
        let zone_ms = [0, 5 * 3_600_000, -19_800_000][rng.usize(..3)];
        let now = midnight + zone_ms - rng.i64(0..60_000);
        let terms = terms();
        let first_budget = |t: &Terms| {
            let total = t.unit * rng.i64(20..400) + rng.i64(0..t.unit);
            t.campaign(total, t.has_daily.then(|| t.unit * rng.i64(8..100)), true, 0)
        };
        let files = terms.iter().map(first_budget).collect();
        let segment_bytes = [4_096, 8_192, 16_384][rng.usize(..3)];
        World {
            now,
            disk: MemStorage::default(),
            config: LogConfig { lanes: 2, lane_bytes: 8_192, segment_bytes, max_bytes: None },
            terms,
            files,
            stored: Books::default(),
            stored_before: Books::default(),
            life: None,
            journal: Journal::default(),
            network: Vec::new(),
            tokens: Vec::new(),
            keys: vec![(1, [rng.u8(..); 32])],
            edits: 0,
            counts: Counts::default(),
            skew_ms: 0,
            stalled_until: 0,
            disk_full: false,
            telling: false,
            rng,
        }
    }

    /// Prints every step.
    pub fn tell(mut self) -> World {
        self.telling = true;
        self
    }

    pub fn note(&mut self, kind: Kind) {
        self.counts.note(kind);
        if self.telling {
            println!("{:>9} ms  {kind:?}", self.now % 1_000_000_000);
        }
    }

    pub fn chance(&mut self, of_1000: u32) -> bool {
        self.rng.u32(..1_000) < of_1000
    }

    pub fn run(mut self) -> End {
        for _ in 0..STEPS {
            let ms = self.rng.i64(0..30);
            self.pass(ms);
            match self.life.is_some() {
                true => self.act(),
                false if self.chance(400) => self.start(),
                false => self.deliver(),
            }
            self.check();
        }
        self.finish();
        let mut hash = DefaultHasher::new();
        for (name, bytes) in self.disk.files() {
            (name, bytes).hash(&mut hash);
        }
        End { counts: self.counts, digest: hash.finish() }
    }

    pub fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.journal.world_now = self.now;
        if let Some(life) = &self.life {
            life.set_clock(self.now);
        }
    }

    fn act(&mut self) {
        match self.rng.u32(..1_000) {
            0..248 => self.bid(),
            248..260 => self.track(),
            260..520 => self.write(),
            520..570 => self.prepare(),
            570..770 => self.deliver(),
            770..830 => self.reconcile(),
            830..880 => {
                self.note(Kind::Wait);
                let ms = self.rng.i64(50..1_500);
                self.wait(ms);
            }
            880..897 => self.odd_token(),
            897..900 => self.crowd(),
            900..920 => self.replay_old(),
            920..945 => self.edit(),
            945..957 => self.jump(),
            957..965 => self.stall(),
            965..970 => self.arm_disk(),
            970..977 => self.fill_disk(),
            977..980 => self.fail_syncs(),
            980..986 => self.crash(false),
            986..992 => self.crash(true),
            992..995 => self.stop(),
            995..997 => self.quiet_night(),
            _ => self.rotate(),
        }
    }

    /// Time passes in small steps, as the log's thread sees it.
    pub fn wait(&mut self, ms: i64) {
        let until = self.now + ms;
        while self.now < until && self.life.is_some() {
            let step = self.rng.i64(5..400).min(until - self.now);
            self.pass(step);
            self.write();
            self.check();
        }
    }

    pub fn write(&mut self) {
        if self.now < self.stalled_until {
            return;
        }
        self.note(Kind::Write);
        let Some(life) = &mut self.life else { return };
        let done = life.write() == Step::Done;
        self.after_step();
        if done || self.life.as_ref().is_some_and(Life::has_failed) {
            self.died();
        }
    }

    pub fn prepare(&mut self) {
        if self.now < self.stalled_until {
            return;
        }
        self.note(Kind::Prepare);
        let Some(life) = &mut self.life else { return };
        let done = life.preparer.step() == Prepared::Done;
        if done {
            self.after_step();
            self.died();
        }
    }

    fn jump(&mut self) {
        self.note(Kind::Jump);
        // What is on its way to the log would wait all that time: no disk is that slow.
        for _ in 0..4 {
            self.write();
            self.prepare();
        }
        if self.life.as_ref().is_some_and(|life| !life.waiting.is_empty()) {
            return;
        }
        let ms = match self.rng.u32(..10) {
            0..5 => self.rng.i64(2_000..60_000),
            5..8 => self.rng.i64(60_000..900_000),
            8 => self.rng.i64(900_000..7_200_000),
            _ => 86_400_000,
        };
        self.pass(ms);
    }

    /// Nothing happens for long, what has expired is forgotten, and the next start finds an earlier wall clock.
    fn quiet_night(&mut self) {
        self.jump();
        self.write();
        self.reconcile_all();
        let power = self.chance(500);
        self.note(Kind::QuietNight);
        self.crash(power);
        self.skew_ms = -self.rng.i64(0..1_200_000);
    }

    fn stall(&mut self) {
        self.note(Kind::Stall);
        self.stalled_until = self.now + self.rng.i64(500..STALL_MS);
    }

    fn arm_disk(&mut self) {
        self.disk.die_after(self.rng.u64(..12));
    }

    fn fill_disk(&mut self) {
        self.disk_full = !self.disk_full;
        self.note(if self.disk_full { Kind::DiskFull } else { Kind::DiskFreed });
        self.set_room();
    }

    pub fn set_room(&mut self) {
        self.disk.set_free(self.disk_full.then_some(0));
    }

    fn fail_syncs(&mut self) {
        let names = self.disk.files();
        let last = names.iter().map(|(name, _)| name).rfind(|name| name.starts_with('0'));
        self.disk.fail_syncs_of(last.map(String::as_str));
        self.note(Kind::SyncFails);
    }

    fn rotate(&mut self) {
        if self.keys.len() < 4 && self.chance(300) {
            self.note(Kind::Rotate);
            let id = self.keys.len() as u8 + 1;
            self.keys.push((id, [self.rng.u8(..); 32]));
        }
    }
}
