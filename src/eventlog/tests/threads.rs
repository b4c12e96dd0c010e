//! The real disk and the real threads.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

fn start(dir: &Path, config: &LogConfig, follower: impl Follower + 'static) -> SegmentLog {
    let storage = Arc::new(DirStorage::new(dir).unwrap());
    let clock = crate::clock::SystemClock::start();
    let opened = SegmentLog::open(storage, config.clone(), &mut |_, _| {}).unwrap();
    opened.start(Box::new(move || clock.now()), Box::new(follower), Box::new(|_| {})).unwrap()
}

fn small() -> LogConfig {
    LogConfig { lanes: 4, lane_bytes: 64 << 10, segment_bytes: 64 << 10, max_bytes: None }
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), &small(), Recorder::default());
    let again = || SegmentLog::open(Arc::new(DirStorage::new(dir.path()).unwrap()), small(), &mut |_, _| {});
    let error = again().err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains("in use by another"), "{error}");
    log.close().unwrap();
    assert!(again().is_ok());
}

#[test]
fn a_reader_tails_while_producers_write_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let log = Arc::new(start(&dir.path().join("a/b"), &small(), recorder.clone()));
    let per_lane = 3_000;
    let tailed = std::thread::scope(|scope| {
        for lane in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..per_lane {
                    if n % 10 == 0 {
                        assert_eq!(log.append_durable(lane, &[event(lane, n)]).wait(), Ok(()));
                        continue;
                    }
                    while let Err(why) = log.append(lane, &event(lane, n)) {
                        assert_eq!(why, AppendError::Busy);
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut reader = log.read(Offset(0)).unwrap();
        let mut tailed: Vec<Stamped> = Vec::new();
        let started = Instant::now();
        while tailed.len() < 4 * per_lane as usize {
            assert!(started.elapsed() < Duration::from_secs(60), "{}", tailed.len());
            match reader.next_event().unwrap() {
                Some(stamped) => tailed.push(stamped),
                None => std::thread::yield_now(),
            }
        }
        tailed
    });
    log.close().unwrap();
    assert_eq!(*recorder.applied.lock().unwrap(), tailed);
    let mut next = [0; 4];
    for (i, stamped) in tailed.iter().enumerate() {
        assert_eq!(stamped.offset, Offset(i as u64));
        let (lane, n) = lane_and_number(&stamped.event);
        assert_eq!(n, next[lane]);
        next[lane] += 1;
    }
    assert!(log.stats().segments.load(Ordering::Relaxed) > 3);
    assert_eq!(log.stats().events.load(Ordering::Relaxed), tailed.len() as u64);
    assert_eq!(log.append(0, &event(0, 0)), Err(AppendError::Closed));
    assert_eq!(log.append_durable(0, &[event(0, 0)]).wait(), Err(AppendError::Closed));

    let log = start(&dir.path().join("a/b"), &small(), Recorder::default());
    assert_eq!(read_all(&mut *log.read(Offset(0)).unwrap()), tailed);
}

#[test]
fn events_nobody_waits_for_are_durable_soon_and_close_writes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), &small(), Recorder::default());
    log.append(0, &event(0, 0)).unwrap();
    let started = Instant::now();
    while log.durable_end() < Offset(1) {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    (1..500).for_each(|n| log.append(3, &event(3, n)).unwrap());
    log.close().unwrap();
    assert_eq!(log.durable_end(), Offset(500));
    assert_eq!(log.close(), Ok(()));
}

#[test]
fn dropping_answers_who_waits() {
    struct Slow;
    impl Follower for Slow {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {
            std::thread::sleep(Duration::from_millis(50));
        }
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), &small(), Slow);
    let first = log.append_durable(0, &[event(0, 0)]);
    while log.durable_end() < Offset(1) {
        std::thread::yield_now();
    }
    let second = log.append_durable(0, &[event(0, 1)]);
    drop(log);
    assert_eq!(first.wait(), Ok(()));
    assert_eq!(second.wait(), Err(AppendError::Closed));
}

#[test]
fn a_follower_that_panics_fails_the_log() {
    struct Bad;
    impl Follower for Bad {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {
            panic!("a follower's bug");
        }
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path(), &small(), Bad);
    assert!(log.append_durable(0, &[event(0, 0)]).wait().is_err());
    let started = Instant::now();
    while log.state() != LogState::Failed {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    assert!(matches!(log.append(0, &event(0, 1)), Err(AppendError::Failed(_))));
}
