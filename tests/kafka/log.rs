//! What holds of a log holds of one on Kafka.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gavel::clock::UnixMs;
use gavel::event::{Offset, Stamped};
use gavel::eventlog::{AppendError, EventLog, ReadError, Unstarted};

use crate::broker::shared;
use crate::server::wait_for;
use crate::tools::{LANE_BYTES, event, lane_and_number, open, read_all, start, topic};

#[test]
fn events_come_back_in_order_over_starts() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let mut appended = 0;
    for _ in 0..3 {
        let log = start(&kafka);
        for _ in 0..20 {
            let durable = log.log.append_durable(0, &[event(0, appended), event(0, appended + 1)]);
            appended += 2;
            durable.wait().unwrap();
            assert_eq!(log.recorder.numbers().last(), Some(&(0, appended - 1)), "it is answered when it is applied");
        }
        log.log.close().unwrap();
        assert!(matches!(log.log.append(0, &event(0, 0)), Err(AppendError::Closed)));
        assert_eq!(log.failed.lock().unwrap().len(), 0);
    }
    let dir = tempfile::tempdir().unwrap();
    let opened = open(&kafka, &dir);
    let all = read_all(&mut *opened.read(Offset(0)).unwrap());
    assert_eq!(all.len() as u64, opened.durable_end().0);
    assert_eq!(opened.last_at(), all.last().map(|last| last.at));
    let numbers: Vec<_> = all.iter().filter_map(|stamped| lane_and_number(&stamped.event)).collect();
    assert_eq!(numbers, (0..appended).map(|n| (0, n)).collect::<Vec<_>>());
    assert!(all.iter().zip(0..).all(|(stamped, n)| stamped.offset == Offset(n)), "offsets follow one another");
    assert!(all.is_sorted_by_key(|stamped| stamped.at));
    let end = all.len();
    for from in [0, 1, end / 2, end - 1, end] {
        assert_eq!(read_all(&mut *opened.read(Offset(from as u64)).unwrap()), all[from..], "{from}");
    }
    assert!(matches!(opened.read(Offset(end as u64 + 1)), Err(ReadError::PastEnd { .. })));
    for at in [all[0].at, all[end / 2].at, all[end - 1].at] {
        for at in [at.plus(-1), at, at.plus(1)] {
            let older = all.iter().filter(|stamped| stamped.at < at).count();
            assert_eq!(opened.offset_at_or_before(at), Offset(older as u64));
        }
    }
    assert_eq!(opened.offset_at_or_before(UnixMs(0)), Offset(0));
}

#[test]
fn one_process_has_a_data_directory() {
    let Some(broker) = shared() else { return };
    let (kafka, dir) = (topic(broker), tempfile::tempdir().unwrap());
    let first = open(&kafka, &dir);
    let error = gavel::eventlog::kafka::Opened::open(&kafka, dir.path(), 1, LANE_BYTES).err().unwrap();
    assert!(error.to_string().contains("in use by another gavel process"), "{error}");
    drop(first);
    open(&kafka, &dir);
}

#[test]
fn a_follower_appends_too_and_a_quiet_log_goes_on_in_time() {
    let Some(broker) = shared() else { return };
    let log = start(&topic(broker));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(log.log.durable_end(), Offset(0), "nothing comes before a start");
    log.log.append_durable(0, &[event(0, 0)]).wait().unwrap();
    log.recorder.own.lock().unwrap().push(event(7, 1));
    wait_for(Duration::from_secs(20), "the follower's event", || log.recorder.numbers() == [(0, 0), (7, 1)]);
    let at = log.recorder.applied.lock().unwrap().last().unwrap().at;
    wait_for(Duration::from_secs(20), "time goes on", || log.recorder.ticked.lock().unwrap().since(at) >= 900);
}

#[test]
fn a_reader_tails_while_producers_write_and_who_waits_hears_where_it_is() {
    let Some(broker) = shared() else { return };
    let log = start(&topic(broker));
    let per_lane = 2_000;
    let (tailed, placed) = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                let log = &log.log;
                scope.spawn(move || {
                    let mut placed = Vec::new();
                    for n in 0..per_lane {
                        match n % 20 {
                            0 => log.append_durable(lane, &[event(lane, n)]).wait().unwrap(),
                            10 => placed.push((
                                log.append_written(lane, &event(lane, n), n % 40 == 10).wait().unwrap(),
                                (lane, n),
                            )),
                            _ => {
                                while let Err(why) = log.append(lane, &event(lane, n)) {
                                    assert_eq!(why, AppendError::Busy);
                                    std::thread::yield_now();
                                }
                            }
                        }
                    }
                    placed
                })
            })
            .collect();
        let mut reader = log.log.read(Offset(0)).unwrap();
        let (mut tailed, started) = (Vec::<Stamped>::new(), Instant::now());
        let mut missing = 4 * per_lane;
        while missing > 0 {
            assert!(started.elapsed() < Duration::from_secs(120), "{}", tailed.len());
            match reader.next_event().unwrap() {
                Some(stamped) => {
                    missing -= u32::from(lane_and_number(&stamped.event).is_some());
                    tailed.push(stamped);
                }
                None => std::thread::yield_now(),
            }
        }
        let placed: Vec<_> = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
        (tailed, placed)
    });
    log.log.close().unwrap();
    let mut next = HashMap::new();
    for (lane, n) in tailed.iter().filter_map(|stamped| lane_and_number(&stamped.event)) {
        assert_eq!(n, std::mem::replace(next.entry(lane).or_insert(0), n + 1), "lane {lane} keeps its order");
    }
    for (offset, number) in placed {
        assert_eq!(lane_and_number(&tailed[offset.0 as usize].event), Some(number));
    }
    let applied = log.recorder.applied.lock().unwrap();
    assert_eq!(applied[..tailed.len()], tailed[..]);
}

#[test]
fn two_processes_on_one_topic_come_to_the_same() {
    let Some(broker) = shared() else { return };
    let kafka = topic(broker);
    let (one, other) = (start(&kafka), start(&kafka));
    std::thread::scope(|scope| {
        for (lane, log) in [(0, &one.log), (1, &other.log)] {
            scope.spawn(move || (0..200).for_each(|n| log.append_durable(0, &[event(lane, n)]).wait().unwrap()));
        }
    });
    let end = one.log.durable_end().max(other.log.durable_end());
    wait_for(Duration::from_secs(20), "both have all of it", || {
        one.log.durable_end() >= end && other.log.durable_end() >= end
    });
    let end = end.0 as usize;
    let (one, other) = (one.recorder.applied.lock().unwrap(), other.recorder.applied.lock().unwrap());
    assert_eq!(one[..end], other[..end], "the same events at the same offsets and times");
    for lane in 0..2 {
        let of_lane = one[..end].iter().filter_map(|s| lane_and_number(&s.event)).filter(|(of, _)| *of == lane);
        assert_eq!(of_lane.map(|(_, n)| n).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn lanes_and_units_are_bounded() {
    let Some(broker) = shared() else { return };
    let log = start(&topic(broker));
    let more_than_fit = vec![event(0, 0); LANE_BYTES / 8];
    assert!(matches!(log.log.append_all(0, &more_than_fit), Err(AppendError::TooLarge { .. })));
    assert!(matches!(log.log.append_durable(0, &more_than_fit).wait(), Err(AppendError::TooLarge { .. })));
    assert_eq!(log.log.append_all(0, &[]), Ok(()));
    log.log.append_durable(0, &[]).wait().unwrap();
    assert_eq!(log.recorder.numbers(), []);
}
