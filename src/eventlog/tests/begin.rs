//! A log that does not begin with its first event any more.

use super::*;

/// Ten milliseconds apart, in several segments.
fn written(disk: &MemStorage, count: u32) -> Vec<Stamped> {
    let mut rig = Rig::open(disk, &tiny()).unwrap();
    for n in 0..count {
        rig.now.fetch_add(10, Ordering::Relaxed);
        rig.log.append(0, &event(0, n)).unwrap();
        rig.settle();
    }
    let all = read_all(&mut *rig.log.read(Offset(0)).unwrap());
    rig.close().unwrap();
    all
}

fn segments(disk: &MemStorage) -> usize {
    disk.files().iter().filter(|(name, _)| name.starts_with('0')).count()
}

#[test]
fn what_lies_wholly_before_goes_and_the_rest_stays() {
    let disk = MemStorage::default();
    let all = written(&disk, 500);
    let before = segments(&disk);
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    assert_eq!(
        (rig.log.begin(), rig.log.could_begin(Offset(0)), rig.log.remove_before(Offset(0)).unwrap()),
        (Offset(0), Offset(0), 0)
    );
    let mut early = rig.log.read(Offset(0)).unwrap();
    let mut late = rig.log.read(Offset(0)).unwrap();
    assert_eq!(late.next_event().unwrap().as_ref(), all.first());

    let begin = rig.log.could_begin(Offset(250));
    assert!(begin > Offset(0) && begin <= Offset(250));
    let removed = rig.log.remove_before(Offset(250)).unwrap();
    assert!(removed > 1 && rig.log.begin() == begin && segments(&disk) == before - removed);
    assert_eq!(rig.log.stats().segments.load(Ordering::Relaxed), segments(&disk) as u64);
    assert_eq!(rig.log.remove_before(Offset(250)).unwrap(), 0);

    // Whoever stands before it is told, now and when he gets there; nobody is led over a gap.
    assert!(matches!(rig.log.read(Offset(begin.0 - 1)), Err(ReadError::Gone { .. })));
    assert!(matches!(early.next_event(), Err(ReadError::Gone { from: Offset(0), .. })));
    let gone = std::iter::repeat_with(|| late.next_event()).find_map(Result::err).unwrap();
    assert!(matches!(gone, ReadError::Gone { from, .. } if from < begin), "{gone}");
    assert!(matches!(late.next_event(), Err(ReadError::Gone { .. })));
    // Times before it may be of what is gone.
    assert_eq!(rig.log.offset_at_or_before(UnixMs(0)), Offset(0));
    assert!(rig.log.offset_at_or_before(UnixMs(i64::MAX)) > begin);

    rig.log.append(0, &event(0, 500)).unwrap();
    rig.settle();
    rig.close().unwrap();
    let opened = try_open(&disk, &tiny()).unwrap();
    let left = read_all(&mut *opened.read(begin).unwrap());
    assert_eq!((&left[..left.len() - 1], left.len() as u64), (&all[begin.0 as usize..], 501 - begin.0));
    assert!(matches!(opened.read(Offset(0)), Err(ReadError::Gone { .. })));
    drop(opened);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let aside = ReadOnlyLog::open(storage, &mut |_, _| {}).unwrap();
    assert_eq!((aside.begin(), aside.end()), (begin, Offset(501)));
    // Never the segment that is written to.
    let rig = Rig::open(&disk, &tiny()).unwrap();
    rig.log.remove_before(Offset(501)).unwrap();
    assert_eq!((segments(&disk), read_all(&mut *rig.log.read(rig.log.begin()).unwrap()).last()), (1, left.last()));
}

#[test]
fn a_crash_at_any_step_of_a_removal_leaves_a_whole_log() {
    let disk = MemStorage::default();
    let all = written(&disk, 400);
    let (mut old, mut new) = (0, 0);
    for steps in 0..20 {
        for seed in 0..8 {
            let run = disk.copy();
            let rig = Rig::open(&run, &tiny()).unwrap();
            run.die_after(steps);
            let done = rig.log.remove_before(Offset(300)).is_ok();
            // A kill leaves the files as they are, a power cut only what was synced.
            let after = if seed == 0 { run.copy() } else { run.crash(seed) };
            drop(rig);
            let rig = Rig::open(&after, &tiny()).unwrap();
            let begin = rig.log.begin();
            assert!(!done || begin > Offset(0), "what was done is done");
            *if begin == Offset(0) { &mut old } else { &mut new } += 1;
            assert_eq!(read_all(&mut *rig.log.read(begin).unwrap()), all[begin.0 as usize..], "{steps} {seed}");
            rig.log.remove_before(Offset(300)).unwrap();
            let begin = rig.log.begin();
            assert_eq!(
                segments(&after) as u64,
                rig.log.stats().segments.load(Ordering::Relaxed),
                "nothing is left over"
            );
            drop(rig);
            let opened = try_open(&after, &tiny()).unwrap();
            assert_eq!(read_all(&mut *opened.read(begin).unwrap()), all[begin.0 as usize..]);
        }
    }
    assert!(old > 10 && new > 10, "{old} {new}");
}

#[test]
fn a_log_that_was_full_has_room_again() {
    let (disk, config) = (MemStorage::default(), LogConfig { max_bytes: Some(6 * 4096), ..tiny() });
    let mut rig = Rig::open(&disk, &config).unwrap();
    let mut n = 0;
    while rig.state() == LogState::Open {
        rig.log.append(0, &event(0, n)).unwrap();
        rig.settle();
        n += 1;
    }
    assert_eq!(rig.log.append(0, &event(0, n)), Err(AppendError::Full));
    assert!(rig.log.remove_before(rig.log.durable_end()).unwrap() > 0);
    rig.settle();
    assert_eq!((rig.state(), rig.log.append(0, &event(0, n))), (LogState::Open, Ok(())));
}

#[test]
fn a_beginning_that_is_damaged_or_gone_is_refused() {
    let disk = MemStorage::default();
    written(&disk, 400);
    let rig = Rig::open(&disk, &tiny()).unwrap();
    rig.log.remove_before(Offset(300)).unwrap();
    drop(rig);
    let first = disk.files().iter().map(|(name, _)| name.clone()).find(|name| name.starts_with('0')).unwrap();
    let refused = |change: &dyn Fn(&MemStorage)| {
        let altered = disk.copy();
        change(&altered);
        let before = altered.files();
        let said = try_open(&altered, &tiny()).err().expect("it opens").to_string();
        assert_eq!(altered.files(), before, "something was changed");
        said
    };
    assert!(refused(&|disk| disk.delete("begin")).contains("00000000000000000001.seg"));
    assert!(
        refused(&|disk| disk.delete(&first)).contains(&format!("{first} is damaged at byte 0: the file is missing"))
    );
    assert!(refused(&|disk| disk.patch("begin", |bytes| bytes[40] ^= 1)).contains("segment begin is damaged"));
    assert!(refused(&|disk| disk.patch("begin", |bytes| bytes.truncate(9))).contains("it has not 512 bytes"));
    let all_gone = refused(&|disk| {
        let names = disk.files().into_iter().map(|(name, _)| name).filter(|name| name.starts_with('0'));
        names.for_each(|name| disk.delete(&name));
    });
    assert!(all_gone.contains("the file is missing"), "{all_gone}");
}

/// Events kept elsewhere: in pieces, so that what is wrong with them can be said.
struct Kept(Vec<Stamped>);

impl Older for Kept {
    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        let rest = self.0.iter().filter(|stamped| stamped.offset >= from).cloned();
        Ok(Box::new(Given(rest.collect::<Vec<_>>().into_iter())))
    }

    fn offset_at_or_before(&self, at: UnixMs) -> Result<Offset, ReadError> {
        Ok(Offset(self.0.iter().take_while(|stamped| stamped.at < at).count() as u64))
    }
}

struct Given(std::vec::IntoIter<Stamped>);

impl LogReader for Given {
    fn next_event(&mut self) -> Result<Option<Stamped>, ReadError> {
        Ok(self.0.next())
    }
}

#[test]
fn what_was_kept_elsewhere_is_read_with_the_log_and_only_if_it_is_its_own() {
    let disk = MemStorage::default();
    let all = written(&disk, 400);
    let rig = Rig::open(&disk, &tiny()).unwrap();
    rig.log.remove_before(Offset(300)).unwrap();
    let begin = rig.log.begin().0 as usize;
    drop(rig);
    let with = |kept: Vec<Stamped>| try_open(&disk, &tiny()).unwrap().with_older(Arc::new(Kept(kept)));
    for end in [begin + 1, begin + 50, 400] {
        let opened = with(all[..end].to_vec());
        for from in [0, 1, begin - 1, begin, begin + 1, 399, 400] {
            let mut reader = opened.read(Offset(from as u64)).unwrap();
            assert_eq!(read_all(&mut *reader), all[from..], "{end} {from}");
            assert!(reader.next_event().unwrap().is_none());
        }
        for at in (0..5_000).step_by(37) {
            let offset = opened.offset_at_or_before(UnixMs(at));
            assert!(all[..offset.0 as usize].iter().all(|stamped| stamped.at < UnixMs(at)), "{at}");
        }
    }
    let fault = |kept: Vec<Stamped>| {
        let opened = with(kept);
        let mut reader = opened.read(Offset(0)).unwrap();
        let error = std::iter::repeat_with(|| reader.next_event()).find_map(Result::err).unwrap().to_string();
        assert_eq!(reader.next_event().unwrap_err().to_string(), error, "asked again it goes on");
        error
    };
    assert!(fault(all[..begin].to_vec()).contains("ends too early"));
    let mut gap = all.clone();
    gap.remove(7);
    assert!(fault(gap).starts_with("event 7: the log begins at event "));
    let mut other = all.clone();
    other[begin].at = other[begin].at.plus(1);
    assert!(fault(other).contains("is of another log"));
    assert!(fault(Vec::new()).contains("ends too early"));
}
