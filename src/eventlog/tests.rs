//! The log as a whole: on a simulated disk step by step, and on a real one with its threads.

mod begin;
mod crash;
mod damage;
mod full;
mod threads;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::mem::MemStorage;
use super::spares::Preparer;
use super::writer::{Step, Writer};
use super::*;
use crate::event::CampaignSet;
use crate::ids::{CampaignNo, Currency};
use crate::money::Nanos;

/// A small event that says which lane it was appended to and as which one there.
fn event(lane: usize, n: u32) -> Event {
    Event::Correction { campaign: CampaignNo(lane as u32), drift: Nanos(i64::from(n)) }
}

/// The same with `fill` bytes of cargo; runs of zeros are what recovery could take for unwritten sectors.
fn large_event(lane: usize, n: u32, fill: usize, with: u8) -> Event {
    Event::CampaignSet(CampaignSet {
        campaign: CampaignNo(lane as u32),
        id: String::new(),
        currency: Currency::USD,
        total: Nanos(i64::from(n)),
        daily: None,
        day: None,
        json: Some(String::from_utf8(vec![with; fill]).unwrap()),
    })
}

fn lane_and_number(event: &Event) -> (usize, u32) {
    match event {
        Event::Correction { campaign, drift } => (campaign.0 as usize, drift.0 as u32),
        Event::CampaignSet(set) => (set.campaign.0 as usize, set.total.0 as u32),
        other => panic!("no test appends {other:?}"),
    }
}

#[derive(Clone, Default)]
struct Recorder {
    applied: Arc<Mutex<Vec<Stamped>>>,
    ticked: Arc<AtomicI64>,
    /// Appended by the follower itself at the next tick.
    own: Arc<Mutex<Vec<Event>>>,
    /// What was applied when it did.
    asked_after: Arc<AtomicUsize>,
}

impl Follower for Recorder {
    fn apply(&mut self, stamped: &Stamped, _: &mut Vec<Event>) {
        assert!(stamped.at.0 >= self.ticked.load(Ordering::Relaxed), "stamped before a tick");
        self.applied.lock().unwrap().push(stamped.clone());
    }
    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        let before = self.ticked.swap(now.0, Ordering::Relaxed);
        assert!(now.0 >= before, "time went back");
        let mut own = self.own.lock().unwrap();
        if !own.is_empty() {
            self.asked_after.store(self.applied.lock().unwrap().len(), Ordering::Relaxed);
        }
        out.append(&mut own);
    }
}

/// A log on a simulated disk, moved by hand.
struct Rig {
    log: SegmentLog,
    writer: Writer,
    preparer: Preparer,
    recorder: Recorder,
    now: Arc<AtomicI64>,
    failed: Arc<Mutex<Vec<String>>>,
}

fn tiny() -> LogConfig {
    LogConfig { lanes: 2, lane_bytes: 8192, segment_bytes: 4096, max_bytes: None }
}

fn try_open(disk: &MemStorage, config: &LogConfig) -> Result<Opened, OpenError> {
    SegmentLog::open(Arc::new(disk.clone()), config.clone(), &mut |_, _| {})
}

impl Rig {
    fn open(disk: &MemStorage, config: &LogConfig) -> Result<Rig, OpenError> {
        let (recorder, failed) = (Recorder::default(), Arc::new(Mutex::new(Vec::new())));
        let now = Arc::new(AtomicI64::new(1_000));
        let (clock, hook) = (now.clone(), failed.clone());
        let (log, writer, preparer) = try_open(disk, config)?.start_stepped(
            Box::new(move || UnixMs(clock.load(Ordering::Relaxed))),
            Box::new(recorder.clone()),
            Box::new(move |why| hook.lock().unwrap().push(why.to_owned())),
        )?;
        Ok(Rig { log, writer, preparer, recorder, now, failed })
    }

    /// Steps until there is nothing left to do.
    fn settle(&mut self) -> Step {
        for _ in 0..100 {
            let prepared = self.preparer.step();
            let step = self.writer.step();
            if step == Step::Done || (step == Step::Idle && prepared != super::spares::Prepared::One) {
                return step;
            }
        }
        panic!("the log does not come to rest");
    }

    fn close(mut self) -> Result<(), AppendError> {
        let _ = self.log.close();
        assert_eq!(self.settle(), Step::Done);
        self.log.close()
    }

    fn state(&self) -> LogState {
        self.log.state()
    }
}

/// What a promise says now.
fn poll_now<T>(promise: impl Future<Output = T>) -> Option<T> {
    match pin!(promise).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn now(durable: &mut Durable) -> Option<Result<(), AppendError>> {
    poll_now(durable)
}

fn read_all(reader: &mut dyn LogReader) -> Vec<Stamped> {
    std::iter::from_fn(|| reader.next_event().unwrap()).collect()
}

fn events_of(disk: &MemStorage, config: &LogConfig) -> Result<Vec<Stamped>, OpenError> {
    let opened = try_open(disk, config)?;
    let events = read_all(&mut *opened.read(Offset(0)).unwrap());
    assert_eq!(events.len() as u64, opened.durable_end().0);
    Ok(events)
}

#[test]
fn events_come_back_in_order_across_segments_and_starts() {
    let (disk, config) = (MemStorage::default(), tiny());
    let mut appended = 0;
    for start in 0..4 {
        let mut rig = Rig::open(&disk, &config).unwrap();
        // The wall clock goes back at each start; the log's does not.
        rig.now.store(5_000 - start * 1_000, Ordering::Relaxed);
        for _ in 0..60 {
            let mut durable = rig.log.append_durable(0, &[event(0, appended), event(0, appended + 1)]);
            appended += 2;
            assert_eq!(now(&mut durable), None);
            rig.settle();
            assert_eq!(now(&mut durable), Some(Ok(())));
        }
        assert_eq!(rig.log.durable_end(), Offset(u64::from(appended)));
        assert_eq!(rig.recorder.applied.lock().unwrap().len(), 120);
        rig.close().unwrap();
    }
    let events = events_of(&disk, &config).unwrap();
    assert_eq!(events.len(), 480);
    for (i, stamped) in events.iter().enumerate() {
        assert_eq!((stamped.offset, lane_and_number(&stamped.event)), (Offset(i as u64), (0, i as u32)));
        assert_eq!(stamped.at, UnixMs(5_000));
    }
    let opened = try_open(&disk, &config).unwrap();
    assert!(disk.files().len() > 6, "several segments");
    for from in [0, 1, 119, 120, 333, 479, 480] {
        let mut reader = opened.read(Offset(from)).unwrap();
        assert_eq!(read_all(&mut *reader), events[from as usize..]);
    }
    assert!(matches!(opened.read(Offset(481)), Err(ReadError::PastEnd { .. })));
}

#[test]
fn one_event_is_found_without_reading_all_before_it() {
    let (disk, config) = (MemStorage::default(), LogConfig { segment_bytes: 1 << 20, ..tiny() });
    let mut rig = Rig::open(&disk, &config).unwrap();
    let count = 600;
    for n in 0..count {
        let mut durable = rig.log.append_durable(0, &[large_event(0, n, 4_000, b'x')]);
        rig.settle();
        assert_eq!(now(&mut durable), Some(Ok(())));
    }
    rig.close().unwrap();
    let opened = try_open(&disk, &config).unwrap();
    assert!(disk.files().len() > 2, "several segments");
    // How many bytes reading one event takes, the first time and once somebody has come by.
    let read = |from: u32| {
        let before = disk.bytes_read();
        let stamped = opened.read(Offset(u64::from(from))).unwrap().next_event().unwrap().unwrap();
        assert_eq!((stamped.offset.0, lane_and_number(&stamped.event)), (u64::from(from), (0, from)));
        disk.bytes_read() - before
    };
    assert!(read(250) > 800_000, "nothing was marked yet");
    assert_eq!(read_all(&mut *opened.read(Offset(0)).unwrap()).len(), count as usize);
    for from in 0..count {
        let bytes = read(from);
        assert!(bytes < 600_000, "event {from} took {bytes} bytes");
    }
}

#[test]
fn a_follower_appends_too() {
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    rig.recorder.own.lock().unwrap().push(event(7, 1));
    rig.settle();
    assert_eq!(rig.recorder.applied.lock().unwrap().len(), 1);
    rig.close().unwrap();
    assert_eq!(events_of(&disk, &tiny()).unwrap()[0].event, event(7, 1));
}

#[test]
fn lanes_and_units_are_bounded() {
    let mut rig = Rig::open(&MemStorage::default(), &tiny()).unwrap();
    let too_large = large_event(0, 0, 4000, b'x');
    assert!(matches!(rig.log.append(0, &too_large), Err(AppendError::TooLarge { .. })));
    assert!(matches!(now(&mut rig.log.append_durable(0, &[too_large])), Some(Err(AppendError::TooLarge { .. }))));
    let mut taken = 0;
    while rig.log.append(0, &event(0, taken)).is_ok() {
        taken += 1;
        let more_than_fit = vec![event(0, 0); 8192 / 20];
        assert!(rig.log.append_all(0, &more_than_fit).is_err(), "none of them is taken");
    }
    assert_eq!(rig.log.append_all(0, &[]), Ok(()));
    assert_eq!(rig.log.append(0, &event(0, 0)), Err(AppendError::Busy));
    assert_eq!(now(&mut rig.log.append_durable(0, &[event(0, 0)])), Some(Err(AppendError::Busy)));
    assert_eq!(rig.log.append(1, &event(1, 0)), Ok(()));
    rig.settle();
    assert_eq!(rig.log.append(0, &event(0, taken)), Ok(()));
    assert_eq!(rig.log.durable_end(), Offset(u64::from(taken) + 1));
}

#[test]
fn the_largest_unit_fits_and_no_events_are_durable_at_once() {
    let (disk, config) = (MemStorage::default(), tiny());
    let mut rig = Rig::open(&disk, &config).unwrap();
    assert_eq!(now(&mut rig.log.append_durable(0, &[])), Some(Ok(())));
    let fits = |n: usize| rig.log.append(0, &large_event(0, 0, n, b'x')).is_ok();
    let largest = (0..4096).rev().find(|n| fits(*n)).unwrap();
    assert!(largest > 3300, "{largest}");
    rig.settle();
    assert_eq!(rig.log.durable_end(), Offset(1));
    rig.close().unwrap();
    assert_eq!(events_of(&disk, &config).unwrap().len(), 1);
}

#[test]
fn a_start_need_not_read_what_is_older_than_asked() {
    let (disk, config) = (MemStorage::default(), tiny());
    let mut rig = Rig::open(&disk, &config).unwrap();
    for n in 0..500 {
        rig.now.store(10_000 + i64::from(n) * 10, Ordering::Relaxed);
        rig.log.append(0, &event(0, n)).unwrap();
        rig.settle();
    }
    let all = read_all(&mut *rig.log.read(Offset(0)).unwrap());
    for at in [0, 9_999, 10_000, 10_005, 12_345, 14_990, 20_000] {
        let offset = rig.log.offset_at_or_before(UnixMs(at));
        assert!(all[..offset.0 as usize].iter().all(|s| s.at < UnixMs(at)), "{at}");
    }
    assert!(rig.log.offset_at_or_before(UnixMs(14_000)) > Offset(300));
}

#[test]
fn a_failed_sync_ends_everything() {
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    rig.log.append(0, &event(0, 0)).unwrap();
    rig.settle();
    disk.fail_syncs_of(Some("00000000000000000001.seg"));
    let mut first = rig.log.append_durable(0, &[event(0, 1)]);
    assert_eq!(rig.settle(), Step::Done);
    let steps = disk.steps();
    assert!(matches!(now(&mut first), Some(Err(AppendError::Failed(why))) if why.contains("input/output")));
    assert!(matches!(rig.log.append(0, &event(0, 2)), Err(AppendError::Failed(_))));
    assert!(matches!(now(&mut rig.log.append_durable(1, &[event(1, 0)])), Some(Err(AppendError::Failed(_)))));
    assert_eq!((rig.state(), rig.failed.lock().unwrap().len()), (LogState::Failed, 1));
    assert_eq!(rig.log.durable_end(), Offset(1));
    assert_eq!(rig.writer.step(), Step::Done);
    assert_eq!(rig.recorder.applied.lock().unwrap().len(), 1);
    assert_eq!(disk.steps(), steps, "something was written after the failure");
    assert!(matches!(rig.log.close(), Err(AppendError::Failed(_))));
}

#[test]
fn who_waits_for_the_write_hears_where_it_is() {
    let (disk, config) = (MemStorage::default(), LogConfig { segment_bytes: 8192, ..tiny() });
    let mut rig = Rig::open(&disk, &config).unwrap();
    let mut placed = Vec::new();
    for round in 0..40u32 {
        let mut durable = rig.log.append_durable(0, &[event(0, 900), event(0, 901)]);
        rig.log.append(1, &event(1, 902)).unwrap();
        let mut written: Vec<_> = (0..4u32)
            .map(|i| {
                let (lane, n) = (i as usize % 2, 10 * round + i);
                (lane, n, rig.log.append_written(lane, &event(lane, n), i == 3))
            })
            .collect();
        assert!(written.iter_mut().all(|(_, _, written)| poll_now(written).is_none()));
        rig.settle();
        assert_eq!(now(&mut durable), Some(Ok(())));
        for (lane, n, mut written) in written {
            placed.push((poll_now(&mut written).unwrap().unwrap(), lane, n));
        }
    }
    rig.close().unwrap();
    let events = events_of(&disk, &config).unwrap();
    for (offset, lane, n) in placed {
        assert_eq!(lane_and_number(&events[offset.0 as usize].event), (lane, n));
    }
}

#[test]
fn a_write_is_told_before_its_sync() {
    let (disk, config) = (MemStorage::default(), tiny());
    let mut rig = Rig::open(&disk, &config).unwrap();
    let mut durable = rig.log.append_durable(0, &[event(0, 0)]);
    let mut written = rig.log.append_written(0, &event(0, 1), false);
    let mut synced = rig.log.append_written(0, &event(0, 2), true);
    disk.fail_syncs_of(Some(&super::recovery::segment_name(1)));
    rig.settle();
    assert_eq!(poll_now(&mut written), Some(Ok(Offset(1))));
    assert!(matches!(poll_now(&mut synced), Some(Err(AppendError::Failed(_)))));
    assert!(matches!(now(&mut durable), Some(Err(AppendError::Failed(_)))));
    let mut refused = rig.log.append_written(0, &event(0, 3), false);
    assert!(matches!(poll_now(&mut refused), Some(Err(AppendError::Failed(_)))));
}
