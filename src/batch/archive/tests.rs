//! A log, exported and read back: the same events, byte for byte; and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tempfile::{TempDir, tempdir};

use super::export::export_as;
use super::manifest::MANIFEST;
use super::rows::Rows;
use super::table::{TABLES, Table, VERSION};
use super::{Archive, ArchiveError, Exported, Part, export};
use crate::clock::{Day, UnixMs};
use crate::event::fraud::{Checked, FraudEvent, Label, LabelSource, Labelled, Outcome, Status};
use crate::event::{
    CampaignSet, Event, Facts, ModelVersion, ModelsSet, Notice, NoticeKind, Offset, PriceClaim, Process, Promise,
    Recorded, ReturnReason, Slot, Stamped, Track,
};
use crate::eventlog::{DirStorage, EventLog, Follower, LogConfig, LogReader, ReadOnlyLog, SegmentLog};
use crate::ids::{CampaignNo, Currency, Epoch, LeaseId, NodeId};
use crate::ledger::fold::tests::facts;
use crate::money::Nanos;

const START: i64 = 1_795_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// At least one of every kind, and of every form that a field takes.
fn samples() -> Vec<Event> {
    let (campaign, epoch, amount, text) = (CampaignNo(u32::MAX), Epoch(2), Nanos(77), || "text, \"quoted\"".to_owned());
    let set = CampaignSet {
        campaign,
        id: "c-42".into(),
        currency: Currency::USD,
        total: Nanos(i64::MAX),
        daily: None,
        day: None,
        json: Some(String::new()),
    };
    let odd = Facts {
        daily: true,
        spend_on_win: true,
        test: true,
        user: u64::MAX,
        model: 9,
        creative: u32::MAX,
        day: Day(-1),
        currency: Currency(*b"EUR"),
        ..facts(3)
    };
    let notice = |kind, price| {
        Event::Notice(Notice { kind, facts: facts(4), price, loss_reason: u16::MAX, min_to_win: Nanos(-1) })
    };
    let (check, at) = (u128::MAX - 5, UnixMs(START - 7));
    let checked = Checked {
        check,
        key: 7,
        arrived: at,
        merchant: text(),
        decision: 3,
        windows: u64::MAX,
        shown: vec![(0, 0), (1, 0), (2, u64::MAX), (3, 1.5f64.to_bits())],
        body: b"{\"not\": utf-8 \xff}".to_vec(),
        answer: Vec::new(),
    };
    let label =
        |label, source| Labelled { check, label, source, reason_code: text(), occurred_at: at, reported_at: at };
    let version = |version: &str| Some(ModelVersion { version: version.into(), digest: [7; 32] });
    let list = |name: &str| (name.to_owned(), text());
    let started =
        |process| Event::EpochStarted { node: NodeId(1), epoch, promise: Promise { billable_ms: 7 << 40 }, process };
    let mut events = vec![
        started(Process::ALONE),
        Event::CampaignSet(set.clone()),
        Event::CampaignSet(CampaignSet { daily: Some(Nanos(0)), day: Some(Day(-3)), json: None, ..set }),
        Event::CampaignDeleted { campaign },
        Event::LeaseGranted { campaign, lease: LeaseId { epoch, seq: 9 }, slot: Slot::Whole, amount },
        Event::LeaseReturned { campaign, epoch, slot: Slot::Day(Day(-1)), amount, why: ReturnReason::Reclaimed },
        Event::LeaseReturned { campaign, epoch, slot: Slot::Whole, amount, why: ReturnReason::Unused },
        Event::Bid(facts(1)),
        Event::Bid(odd),
        notice(NoticeKind::Win, PriceClaim::Unusable),
        notice(NoticeKind::Bill, PriceClaim::Amount { amount, excess: Nanos(3) }),
        notice(NoticeKind::Loss, PriceClaim::NoRate { amount }),
        Event::Correction { campaign, drift: Nanos(-4) },
        Event::Traffic { hour: u32::MAX, seconds: u16::MAX, requests: u64::MAX },
        Event::ReservationsForgotten { before: u32::MAX },
        Event::ModelsSet(ModelsSet { name: "ctr".into(), active: version("2"), shadow: None, previous: version("1") }),
        Event::StillRunning,
        Event::Request(Recorded {
            personal: true,
            exchange: u32::MAX,
            decided_at: UnixMs(START),
            body: text(),
            bids: vec![(0, facts(1).reservation), (u16::MAX, odd.reservation)],
        }),
        Event::Request(Recorded {
            personal: false,
            exchange: 0,
            decided_at: UnixMs(0),
            body: String::new(),
            bids: Vec::new(),
        }),
        Event::Fraud(FraudEvent::Windows { fingerprint: u64::MAX, names: vec![text(), String::new()] }),
        Event::Fraud(FraudEvent::Check(Arc::new(checked))),
        Event::Fraud(FraudEvent::Rules { toml: text() }),
        Event::Fraud(FraudEvent::FileRules { toml: text() }),
        Event::Fraud(FraudEvent::Late { check, decision: u8::MAX }),
    ];
    for what in [Track::Impression, Track::Click, Track::Conversion] {
        events.push(Event::Track { what, facts: odd });
    }
    for status in [Status::Authorized, Status::Declined, Status::Captured, Status::Refunded, Status::Canceled] {
        let outcome = Outcome { check, status, response_code: text(), occurred_at: at };
        events.push(Event::Fraud(FraudEvent::Outcome(outcome)));
    }
    for source in [
        LabelSource::Chargeback,
        LabelSource::EarlyFraudWarning,
        LabelSource::ManualReview,
        LabelSource::CustomerReport,
    ] {
        events.push(Event::Fraud(FraudEvent::Label(label(Label::Fraud, source))));
        events.push(Event::Fraud(FraudEvent::Label(label(Label::Legitimate, source))));
    }
    let ((name, json), (other, value)) = (list("a"), list("b"));
    events.push(Event::Fraud(FraudEvent::List { name: name.clone(), json: json.clone() }));
    events.push(Event::Fraud(FraudEvent::ListEntries { name, json }));
    events.push(Event::Fraud(FraudEvent::ListEntryRemoved { name: other, value }));
    events.extend([started(Process(u64::MAX)), Event::NodeRunning { epoch, sent_at: at }]);
    events
}

/// A kind that is added needs a table and a sample: this does not compile without it, and
/// [`every_kind_comes_back_byte_for_byte`] fails without them.
fn is_sampled(event: &Event) {
    match event {
        Event::EpochStarted { .. } | Event::CampaignSet(_) | Event::CampaignDeleted { .. } => {}
        Event::LeaseGranted { .. } | Event::LeaseReturned { .. } | Event::Bid(_) | Event::Notice(_) => {}
        Event::Track { .. } | Event::Correction { .. } | Event::Traffic { .. } => {}
        Event::ReservationsForgotten { .. } | Event::ModelsSet(_) | Event::Request(_) => {}
        Event::StillRunning | Event::NodeRunning { .. } => {}
        Event::Fraud(fraud) => match fraud {
            FraudEvent::Windows { .. } | FraudEvent::Check(_) | FraudEvent::Outcome(_) | FraudEvent::Label(_) => {}
            FraudEvent::Rules { .. } | FraudEvent::FileRules { .. } | FraudEvent::Late { .. } => {}
            FraudEvent::List { .. } => {}
            FraudEvent::ListEntries { .. } | FraudEvent::ListEntryRemoved { .. } => {}
        },
    }
}

struct Nobody;

impl Follower for Nobody {
    fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
    fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
}

/// A directory with a log and an archive.
struct World {
    dir: TempDir,
    now: Arc<AtomicI64>,
}

impl World {
    fn new() -> World {
        World { dir: tempdir().unwrap(), now: Arc::new(AtomicI64::new(START)) }
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    /// Writes events, each so long after the one before.
    fn append(&self, events: &[Event], apart_ms: i64) {
        let storage = Arc::new(DirStorage::new(self.dir.path().join("log")).unwrap());
        let config = LogConfig { segment_bytes: 64 << 10, ..LogConfig::default() };
        let opened = SegmentLog::open(storage, config, &mut |_, _| {}).unwrap();
        let now = self.now.clone();
        let clock = Box::new(move || UnixMs(now.load(Ordering::Relaxed)));
        let log = opened.start(clock, Box::new(Nobody), Box::new(|why| panic!("{why}"))).unwrap();
        for event in events {
            self.now.fetch_add(apart_ms, Ordering::Relaxed);
            log.append_durable(0, std::slice::from_ref(event)).wait().unwrap();
        }
        log.close().unwrap();
    }

    fn log(&self) -> ReadOnlyLog {
        let storage = Arc::new(DirStorage::new(self.dir.path().join("log")).unwrap());
        ReadOnlyLog::open(storage, &mut |_, _| {}).unwrap()
    }

    fn export(&self) -> Result<Exported, ArchiveError> {
        export(&self.log(), &self.archive(), &mut |_, _| {})
    }

    /// In ranges of so few bytes.
    fn export_in_pieces(&self, bytes: usize) -> Exported {
        export_as(VERSION, bytes, &self.log(), &self.archive(), &mut |_, _| {}).unwrap()
    }

    fn in_log(&self) -> Vec<Stamped> {
        let mut reader: Box<dyn LogReader> = self.log().read(Offset(0)).unwrap();
        std::iter::from_fn(|| reader.next_event().unwrap()).collect()
    }

    fn fault(&self) -> String {
        read(&self.archive()).expect_err("what is wrong goes unseen").to_string()
    }

    /// The files of all ranges.
    fn parts(&self) -> Vec<(PathBuf, Part)> {
        let ranges = Archive::open(&self.archive()).unwrap().ranges;
        let parts = |range: super::Range| range.manifest.parts.into_iter().map(move |part| (range.dir.clone(), part));
        ranges.into_iter().flat_map(parts).collect()
    }
}

fn read(dir: &Path) -> Result<Vec<Stamped>, ArchiveError> {
    let mut events = Vec::new();
    Archive::open(dir)?.events(&mut |stamped| events.push(stamped), &mut |_, _| {})?;
    Ok(events)
}

fn encoded(events: &[Stamped]) -> Vec<(Offset, UnixMs, Vec<u8>)> {
    let encode = |stamped: &Stamped| {
        let mut bytes = Vec::new();
        stamped.event.encode(&mut bytes);
        (stamped.offset, stamped.at, bytes)
    };
    events.iter().map(encode).collect()
}

#[test]
fn every_kind_comes_back_byte_for_byte() {
    let world = World::new();
    samples().iter().for_each(is_sampled);
    world.append(&samples(), HOUR_MS / 7);
    world.append(&samples(), 0);
    let exported = world.export().unwrap();
    let log = world.in_log();
    assert_eq!((exported.end, exported.ranges), (Offset(log.len() as u64), 1));
    assert_eq!(encoded(&read(&world.archive()).unwrap()), encoded(&log));
    for table in &TABLES {
        assert!(world.parts().iter().any(|(_, part)| part.table == table.name), "{} has no sample", table.name);
    }
}

#[test]
fn an_export_goes_on_where_the_last_one_ended() {
    let world = World::new();
    let nothing = world.export().unwrap();
    assert_eq!((nothing.end, nothing.ranges), (Offset(0), 0));
    world.append(&samples(), 10);
    assert!(world.export_in_pieces(1_000).ranges > 2);
    world.append(&samples(), HOUR_MS / 3);
    let second = world.export().unwrap();
    assert_eq!((second.first, second.end), (Offset(samples().len() as u64), Offset(2 * samples().len() as u64)));
    let again = world.export().unwrap();
    assert_eq!((again.first, again.end, again.ranges), (second.end, second.end, 0));
    assert_eq!(encoded(&read(&world.archive()).unwrap()), encoded(&world.in_log()));

    let amounts = |events: &[Stamped]| -> i128 {
        let amount = |stamped: &Stamped| if let Event::Bid(facts) = &stamped.event { facts.reserved.0 } else { 0 };
        events.iter().map(|stamped| i128::from(amount(stamped))).sum()
    };
    let bids: Vec<Part> = world.parts().into_iter().map(|(_, part)| part).filter(|part| part.table == "bid").collect();
    let sums: i128 = bids.iter().map(|part| part.sum_nanos.as_ref().unwrap().parse::<i128>().unwrap()).sum();
    assert_eq!(sums, amounts(&world.in_log()));
    assert_eq!(bids.iter().map(|part| part.rows).sum::<u64>(), 4);
}

#[test]
fn what_an_interrupted_export_left_does_not_count_and_goes() {
    let world = World::new();
    world.append(&samples(), 10);
    world.export_in_pieces(1_000);
    // All but the rename, with what a crash may leave of a file.
    let whole = read(&world.archive()).unwrap();
    let last = Archive::open(&world.archive()).unwrap().ranges.pop().unwrap();
    let incomplete = world.archive().join("incomplete");
    fs::rename(&last.dir, &incomplete).unwrap();
    fs::write(incomplete.join(&last.manifest.parts[0].file), b"PAR1").unwrap();
    assert_eq!(read(&world.archive()).unwrap(), whole[..last.manifest.first as usize]);
    world.export().unwrap();
    assert!(!incomplete.exists());
    assert_eq!(read(&world.archive()).unwrap(), whole);
}

#[test]
fn only_one_export_at_a_time_and_only_of_its_log() {
    let world = World::new();
    world.append(&samples(), 10);
    world.export().unwrap();
    let lock = fs::File::open(world.archive().join("lock")).unwrap();
    lock.try_lock().unwrap();
    assert!(matches!(world.export(), Err(ArchiveError::Busy { .. })));
    drop(lock);

    let other = World::new();
    other.append(&samples()[1..5], 10);
    fs::rename(world.archive(), other.archive()).unwrap();
    assert!(matches!(other.export(), Err(ArchiveError::Ahead { .. })));
    other.append(&samples(), 10);
    let fault = other.export().unwrap_err();
    assert!(matches!(fault, ArchiveError::OtherLog { .. }), "{fault}");
}

#[test]
fn a_file_that_is_cut_short_or_altered_is_named() {
    let world = World::new();
    world.append(&samples(), 0);
    world.export().unwrap();
    let (dir, part) = world.parts().into_iter().find(|(_, part)| part.table == "bid").unwrap();
    let path = dir.join(&part.file);
    let bytes = fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(7) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        fs::write(&path, &altered).unwrap();
        let fault = world.fault();
        assert!(fault.contains("bid/date=2026-11-18/hour=11/part.parquet: its SHA-256"), "{fault}");
    }
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(world.fault().contains("part.parquet: it has"), "{}", world.fault());
    fs::remove_file(&path).unwrap();
    assert!(world.fault().contains("part.parquet: No such file"), "{}", world.fault());
}

/// Whoever alters a file and its manifest too gets an error of the reader, or other events; never a panic.
#[test]
fn no_bytes_of_a_file_panic() {
    let world = World::new();
    world.append(&samples(), 0);
    world.export().unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut refused, mut runs) = (0, 0);
    for (dir, part) in world.parts() {
        let bytes = fs::read(dir.join(&part.file)).unwrap();
        for _ in 0..80 {
            let mut altered = bytes.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..altered.len());
                altered[at] = if rng.bool() { rng.u8(..) } else { altered[at] ^ 1 << rng.u8(..8) };
            }
            if rng.u8(..8) == 0 {
                altered.truncate(rng.usize(..altered.len()));
            }
            let read = || {
                let mut rows = Rows::read("a file".into(), Bytes::from(altered), &part)?;
                while rows.step()?.is_some() {}
                Ok::<_, ArchiveError>(())
            };
            refused += usize::from(read().is_err());
            runs += 1;
        }
    }
    assert!(refused > runs / 2, "{refused} of {runs} altered files refused");
}

#[test]
fn a_gap_in_offsets_is_named() {
    let world = World::new();
    world.append(&samples(), 10);
    world.export_in_pieces(1_000);
    let archive = Archive::open(&world.archive()).unwrap();
    let second = &archive.ranges[1];
    fs::remove_dir_all(&second.dir).unwrap();
    let missing = format!("the events from {} to {} are missing", second.manifest.first, second.manifest.end);
    assert!(world.fault().contains(&missing), "{}", world.fault());
    // Nor does an export go on from there.
    assert!(matches!(world.export(), Err(ArchiveError::Gap { .. })));

    // Within a range: a file that its manifest does not name any more.
    let world = World::new();
    world.append(&samples(), 10);
    world.export().unwrap();
    edit_manifest(&world, |text| {
        let mut manifest: serde_json::Value = serde_json::from_str(text).unwrap();
        let parts = manifest["parts"].as_array_mut().unwrap();
        parts.retain(|part| part["table"] != "correction");
        manifest.to_string()
    });
    assert!(world.fault().contains("correction/date=2026-11-18/hour=11/part.parquet: the manifest does not name it"));
    let range = Archive::open(&world.archive()).unwrap().ranges.remove(0);
    fs::remove_dir_all(range.dir.join("correction")).unwrap();
    assert!(world.fault().contains("the events from 12 to 13 are missing"), "{}", world.fault());
}

/// Of the first range.
fn edit_manifest(world: &World, edit: impl Fn(&str) -> String) {
    let mut dirs: Vec<PathBuf> = fs::read_dir(world.archive()).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.retain(|dir| dir.join(MANIFEST).exists());
    dirs.sort();
    let path = dirs[0].join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    let edited = edit(&text);
    assert_ne!(edited, text);
    fs::write(path, edited).unwrap();
}

#[test]
fn a_manifest_that_says_something_else_is_refused() {
    for (find, put, fault) in [
        ("\"table\": \"bid\"", "\"table\": \"offer\"", "unknown kind \"offer\""),
        ("\"version\": 3", "\"version\": 4", "of version 4; this build reads versions up to 3"),
        ("\"version\": 3", "\"version\": 0", "it tells no version"),
        ("\"file\": \"bid/", "\"file\": \"../bid/", "is not where its hour belongs"),
        ("\"first\": 0", "\"first\": 1", "its manifest is that of another range"),
        (
            "\"sum_nanos\": \"20\"",
            "\"sum_nanos\": \"21\"",
            "bid/date=2026-11-18/hour=11/part.parquet, row group 1: its sum is -1",
        ),
        ("\"rows\": 2", "\"rows\": 3", "as many rows as its manifest says"),
        ("\"rows\": 2", "\"rows\": 1", "it has too many rows"),
        ("{", "[", "manifest.json: "),
    ] {
        let world = World::new();
        world.append(&samples(), 0);
        world.export().unwrap();
        edit_manifest(&world, |text| text.replacen(find, put, if find.contains("rows") { usize::MAX } else { 1 }));
        let said = world.fault();
        assert!(said.contains(fault), "{find}: {said}");
    }
}

#[test]
fn ranges_of_two_exports_do_not_mix() {
    let (world, other) = (World::new(), World::new());
    for world in [&world, &other] {
        world.append(&samples(), 10);
        world.export_in_pieces(1_000);
        world.append(&[Event::StillRunning], 20);
        world.now.fetch_add(1, Ordering::Relaxed);
    }
    other.append(&[Event::StillRunning], 1);
    let range = |world: &World, i: usize| Archive::open(&world.archive()).unwrap().ranges[i].dir.clone();
    // The same log and the same cuts: the same bytes.
    assert_eq!(fs::read(range(&world, 0).join(MANIFEST)).unwrap(), fs::read(range(&other, 0).join(MANIFEST)).unwrap());
    edit_manifest(&world, |text| text.replacen('{', "{ ", 1));
    let fault = world.fault_of_open();
    assert!(fault.contains("the manifest of the range before is not"), "{fault}");
}

impl World {
    fn fault_of_open(&self) -> String {
        Archive::open(&self.archive()).expect_err("what is wrong goes unseen").to_string()
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/archive")
}

/// Set to write the fixtures anew: `GAVEL_WRITE_FIXTURES=1 cargo test --lib archive`.
fn writes_fixtures() -> bool {
    std::env::var_os("GAVEL_WRITE_FIXTURES").is_some()
}

/// As version 1 could say them: without a model.
fn samples_of_version_1() -> Vec<Event> {
    let mut events: Vec<Event> = samples().into_iter().take(13).collect();
    for event in &mut events {
        if let Event::Bid(facts) = event {
            facts.model = 0;
        }
    }
    events
}

#[test]
fn files_of_version_1_are_read() {
    let dir = fixtures().join("version-1");
    if writes_fixtures() {
        let world = World::new();
        world.append(&samples_of_version_1(), 10);
        let _ = fs::remove_dir_all(&dir);
        export_as(1, usize::MAX, &world.log(), &dir, &mut |_, _| {}).unwrap();
        fs::remove_file(dir.join("lock")).unwrap();
    }
    let events: Vec<Event> = read(&dir).unwrap().into_iter().map(|stamped| stamped.event).collect();
    assert_eq!(events, samples_of_version_1());
    assert_eq!(Archive::open(&dir).unwrap().ranges[0].manifest.version, 1);
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let world = World::new();
    world.append(&samples(), 10);
    export_as(VERSION + 1, usize::MAX, &world.log(), &world.archive(), &mut |_, _| {}).unwrap();
    assert!(matches!(Archive::open(&world.archive()), Err(ArchiveError::Newer { version: 4, .. })));
    edit_manifest(&world, |text| text.replacen("\"version\": 4", "\"version\": 3", 1));
    let fault = world.fault();
    assert!(fault.contains("part.parquet is of version 4; this build reads versions up to 3"), "{fault}");
}

/// The columns of every version: a change of one that is there is a breach, for files of it exist.
#[test]
fn the_columns_are_what_they_were() {
    let path = fixtures().join("columns.txt");
    let of = |version: u32| {
        let schemas = TABLES.iter().map(|table: &Table| table.schema(version)).collect::<String>();
        format!("version {version}\n\n{schemas}\n")
    };
    let columns: String = (1..=VERSION).map(of).collect();
    if writes_fixtures() {
        fs::write(&path, &columns).unwrap();
    }
    assert_eq!(columns, fs::read_to_string(path).unwrap());
    for table in &TABLES {
        for field in table.columns(VERSION).iter().filter(|field| field.since > 1) {
            assert!(field.form.is_nullable(), "{}.{} was added and is not nullable", table.name, field.name);
        }
    }
}
