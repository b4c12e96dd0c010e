//! A full disk: bids stop, notices go on into the reserve, then everything stops until there is space again.

use super::*;

/// Appends until it is refused; what was appended before is acknowledged. Nobody is left waiting.
fn fill(rig: &mut Rig, acknowledged: &mut Vec<u32>, n: &mut u32) -> AppendError {
    for _ in 0..10_000 {
        let mut durable = rig.log.append_durable(0, &[event(0, *n)]);
        if let Some(Err(why)) = now(&mut durable) {
            return why;
        }
        rig.settle();
        match now(&mut durable) {
            Some(Ok(())) => acknowledged.push(*n),
            Some(Err(why)) => return why,
            None => panic!("event {n} is accepted and waits"),
        }
        *n += 1;
    }
    panic!("never full");
}

fn fill_and_free(disk: &MemStorage, config: &LogConfig, make_full: impl Fn(), make_space: impl Fn()) {
    let mut rig = Rig::open(disk, config).unwrap();
    let (mut accepted, mut n) = (Vec::new(), 0);
    make_full();
    rig.settle();
    assert_eq!(rig.state(), LogState::Full, "known before the segment is used up");
    assert_eq!(rig.log.append(0, &event(0, 9)), Err(AppendError::Full));
    let segments = || disk.files().iter().filter(|(name, _)| name.starts_with('0')).count();
    assert_eq!((segments(), disk.files().iter().any(|(name, _)| name == "reserve.seg")), (1, true));

    assert_eq!(fill(&mut rig, &mut accepted, &mut n), AppendError::Full);
    assert_eq!((segments(), disk.files().iter().any(|(name, _)| name == "reserve.seg")), (2, false));
    assert!(accepted.len() > 80, "two segments hold {}", accepted.len());
    assert_eq!(rig.log.append(0, &event(0, 9)), Err(AppendError::Full));
    rig.settle();
    assert_eq!(now(&mut rig.log.append_durable(1, &[event(1, 9)])), Some(Err(AppendError::Full)));

    make_space();
    rig.settle();
    assert_eq!(rig.state(), LogState::Open);
    assert!(disk.files().iter().any(|(name, _)| name == "reserve.seg"), "a new reserve");
    assert_eq!(rig.log.append(0, &event(0, n)), Ok(()));
    accepted.push(n);
    rig.close().unwrap();
    let found: Vec<u32> = events_of(disk, config).unwrap().iter().map(|s| lane_and_number(&s.event).1).collect();
    assert_eq!(found, accepted);
}

#[test]
fn a_full_disk_is_survived() {
    let disk = MemStorage::default();
    drop(Rig::open(&disk, &tiny()).unwrap());
    let (full, free) = (disk.clone(), disk.clone());
    fill_and_free(&disk, &tiny(), || full.set_capacity(Some(full.used() + 4095)), || free.set_capacity(None));
}

#[test]
fn a_disk_that_says_it_is_full_is_left_alone() {
    let disk = MemStorage::default();
    drop(Rig::open(&disk, &tiny()).unwrap());
    let steps = disk.steps();
    disk.set_free(Some(4095));
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    rig.settle();
    // Opening syncs the segment and the directory; filling what is left each second would starve the others.
    assert_eq!((rig.state(), disk.steps() - steps), (LogState::Full, 2));
    drop(rig);
    fill_and_free(&disk, &tiny(), || disk.set_free(Some(4095)), || disk.set_free(None));
}

#[test]
fn what_was_accepted_before_the_disk_was_full_is_there_after_a_close() {
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    disk.set_capacity(Some(disk.used()));
    let (mut accepted, mut n) = (Vec::new(), 0);
    fill(&mut rig, &mut accepted, &mut n);
    assert_eq!(rig.close(), Ok(()), "all that was accepted is written");
    // The next start goes on where space allows.
    assert_eq!(events_of(&disk, &tiny()).unwrap().len(), accepted.len());
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    rig.settle();
    assert_eq!(rig.state(), LogState::Full);
    disk.set_capacity(None);
    let mut durable = rig.log.append_durable(0, &[event(0, n)]);
    assert_eq!(now(&mut durable), None, "not known to be full before it is tried");
    rig.settle();
    assert_eq!(now(&mut durable), Some(Ok(())));
}

#[test]
fn a_byte_limit_is_a_full_disk() {
    let config = LogConfig { max_bytes: Some(4 * 4096), ..tiny() };
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &config).unwrap();
    let (mut accepted, mut n) = (Vec::new(), 0);
    rig.settle();
    assert_eq!(rig.state(), LogState::Open);
    assert_eq!(fill(&mut rig, &mut accepted, &mut n), AppendError::Full);
    assert_eq!(disk.used(), 4 * 4096);
}

#[test]
fn a_new_log_without_space_says_so() {
    let disk = MemStorage::default();
    disk.set_capacity(Some(5000));
    assert!(matches!(try_open(&disk, &tiny()), Err(OpenError::NoSpace { needed_bytes: 4096 })));
    disk.set_capacity(None);
    assert_eq!(events_of(&disk, &tiny()).unwrap(), []);
}

#[test]
fn senseless_config_is_refused() {
    for config in [
        LogConfig { lanes: 0, ..tiny() },
        LogConfig { lane_bytes: 0, ..tiny() },
        LogConfig { segment_bytes: 1000, ..tiny() },
        LogConfig { segment_bytes: 4097, ..tiny() },
        LogConfig { max_bytes: Some(4096), ..tiny() },
    ] {
        assert!(matches!(try_open(&MemStorage::default(), &config), Err(OpenError::Config(_))), "{config:?}");
    }
}

#[test]
fn when_the_reserve_ends_who_waits_is_refused_and_nothing_of_it_is_kept() {
    let disk = MemStorage::default();
    drop(Rig::open(&disk, &tiny()).unwrap());
    disk.set_capacity(Some(disk.used() + 4095));
    // Before the disk is known to be full: units of two lanes with and without waiters, more than there is room for.
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    let mut waiting: Vec<(u32, Durable)> = Vec::new();
    for n in 0..300 {
        let lane = n as usize % 2;
        if n % 3 == 0 {
            assert_eq!(rig.log.append(lane, &event(lane, n)), Ok(()));
        } else {
            waiting.push((n, rig.log.append_durable(lane, &[event(lane, n)])));
        }
    }
    rig.settle();
    let answers: Vec<(u32, Option<Result<(), AppendError>>)> = waiting.iter_mut().map(|(n, d)| (*n, now(d))).collect();
    let refused = answers.iter().filter(|(_, a)| *a == Some(Err(AppendError::Full))).count();
    assert!(refused > 20 && answers.len() - refused > 20, "{refused} of {}", answers.len());
    disk.set_capacity(None);
    rig.settle();
    rig.close().unwrap();
    let found: Vec<u32> = events_of(&disk, &tiny()).unwrap().iter().map(|s| lane_and_number(&s.event).1).collect();
    for (n, answer) in answers {
        assert_eq!(found.contains(&n), answer == Some(Ok(())), "event {n}: {answer:?}");
    }
    assert!((0..300).step_by(3).all(|n| found.contains(&n)), "what nobody waited for stays");
}

#[test]
fn what_a_tick_asks_for_comes_before_all_that_it_has_not_seen() {
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    for n in 0..6 {
        assert_eq!(rig.log.append(n as usize % 2, &large_event(n as usize % 2, n, 1_000, 7)), Ok(()));
    }
    // The segment is full, and no other is there yet.
    assert_eq!((rig.writer.step(), rig.writer.step()), (Step::Idle, Step::Idle));
    let applied = rig.recorder.applied.lock().unwrap().len();
    assert!((1..6).contains(&applied), "{applied}");
    rig.recorder.own.lock().unwrap().push(event(0, 99));
    assert_eq!((rig.writer.step(), rig.writer.step()), (Step::Idle, Step::Idle));
    assert_eq!(rig.log.append(0, &event(0, 6)), Ok(()));
    rig.settle();
    let applied = rig.recorder.applied.lock().unwrap();
    let at = applied.iter().position(|s| lane_and_number(&s.event).1 == 99).unwrap();
    assert_eq!((at, applied.len()), (rig.recorder.asked_after.load(Ordering::Relaxed), 8));
}
