//! Power cuts and kills at any step: what was acknowledged is there, nothing else is made up.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Append { lane: usize, durable: bool, sizes: Vec<usize> },
    Write,
    Prepare,
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![4 => Just(0_usize), 1 => 1..1500_usize];
    let append = (0..2_usize, any::<bool>(), prop::collection::vec(size, 1..4))
        .prop_map(|(lane, durable, sizes)| Action::Append { lane, durable, sizes });
    prop_oneof![3 => append, 4 => Just(Action::Write), 1 => Just(Action::Prepare)]
}

/// Everything ever appended, by lane, and what is known of it.
#[derive(Default)]
struct Model {
    /// Numbers handed out in each lane.
    given: [u32; 2],
    /// Events of calls that must be there as a whole, and whether they were acknowledged.
    units: Vec<(usize, std::ops::Range<u32>, bool)>,
    /// Events known to be in the log after a crash.
    kept: Vec<Stamped>,
}

impl Model {
    fn event(&mut self, lane: usize, size: usize) -> Event {
        let n = self.given[lane];
        self.given[lane] += 1;
        // Zeros in the cargo look like sectors that were never written.
        if size == 0 { event(lane, n) } else { large_event(lane, n, size, [0, b'x'][n as usize % 2]) }
    }

    fn check(&mut self, found: Vec<Stamped>, applied: &[Stamped], refused: &[(usize, u32)]) {
        assert_eq!(found[..self.kept.len()], self.kept, "what an earlier start had found is still there");
        let fresh = &found[self.kept.len()..];
        assert!(fresh.starts_with(applied), "applied before it was durable, or changed");
        let mut last_at = UnixMs(i64::MIN);
        for (i, stamped) in found.iter().enumerate() {
            assert_eq!(stamped.offset, Offset(i as u64));
            assert!(stamped.at >= last_at);
            last_at = stamped.at;
        }
        for lane in 0..2 {
            let seen: Vec<u32> =
                found.iter().map(|s| lane_and_number(&s.event)).filter(|(l, _)| *l == lane).map(|(_, n)| n).collect();
            assert!(seen.windows(2).all(|w| w[0] < w[1]), "lane order");
            assert!(seen.iter().all(|n| *n < self.given[lane] && !refused.contains(&(lane, *n))), "made up");
            for (_, unit, acknowledged) in self.units.iter().filter(|(l, ..)| *l == lane) {
                let there = unit.clone().filter(|n| seen.contains(n)).count();
                assert!(there == 0 || there == unit.len(), "half a unit");
                assert!(there > 0 || !acknowledged, "an acknowledged unit is gone");
            }
        }
        self.kept = found;
    }
}

/// One life of the log, until its end or until the machine dies under it.
fn live(disk: &MemStorage, model: &mut Model, actions: &[Action], refused: &mut Vec<(usize, u32)>) -> Vec<Stamped> {
    let Ok(mut rig) = Rig::open(disk, &tiny()) else { return Vec::new() };
    let mut waiting = Vec::new();
    for action in actions {
        match action {
            Action::Append { lane, durable, sizes } => {
                let start = model.given[*lane];
                let events: Vec<Event> = sizes.iter().map(|size| model.event(*lane, *size)).collect();
                if *durable {
                    let durable = rig.log.append_durable(*lane, &events);
                    waiting.push((model.units.len(), durable));
                    model.units.push((*lane, start..model.given[*lane], false));
                } else {
                    for event in &events {
                        if rig.log.append(*lane, event).is_err() {
                            refused.push(lane_and_number(event));
                        }
                    }
                }
            }
            Action::Write => {
                assert_eq!(rig.writer.step() == Step::Done, rig.state() == LogState::Failed);
            }
            Action::Prepare => {
                rig.preparer.step();
            }
        }
        waiting.retain_mut(|(unit, durable)| match now(durable) {
            Some(Ok(())) => {
                model.units[*unit].2 = true;
                false
            }
            Some(Err(AppendError::Busy | AppendError::TooLarge { .. } | AppendError::Full)) => {
                let (lane, numbers, _) = model.units[*unit].clone();
                refused.extend(numbers.map(|n| (lane, n)));
                false
            }
            Some(Err(_)) => false,
            None => true,
        });
    }
    rig.recorder.applied.lock().unwrap().clone()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_crash_loses_what_was_acknowledged(
        lives in prop::collection::vec((prop::collection::vec(action(), 1..40), 0..120_u64, any::<u64>()), 1..5)
    ) {
        let mut disk = MemStorage::default();
        let (mut model, mut refused) = (Model::default(), Vec::new());
        for (actions, steps, seed) in lives {
            disk.die_after(steps);
            let applied = live(&disk, &mut model, &actions, &mut refused);
            // A killed process leaves the page cache behind, a power cut does not; both may strike at recovery, too.
            let end = |disk: MemStorage, seed: u64| if seed.is_multiple_of(3) { disk } else { disk.crash(seed) };
            disk = end(disk, seed);
            disk.die_after(seed % 8);
            let _ = try_open(&disk, &tiny());
            disk = end(disk, seed / 3);
            disk.die_after(u64::MAX);
            let found = events_of(&disk, &tiny()).expect("a crash is not damage");
            model.check(found, &applied, &refused);
        }
    }
}

#[test]
fn a_torn_header_over_two_sectors_is_cut() {
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    for n in 0..6 {
        rig.log.append(0, &event(0, n)).unwrap();
        rig.settle();
    }
    rig.log.append(0, &large_event(0, 6, 600, b'x')).unwrap();
    rig.settle();
    rig.close().unwrap();
    let name = "00000000000000000001.seg";
    // Six groups of 80 bytes after the header's sector.
    let start = 512 + 480;
    assert_eq!(disk.files()[0].1[start..start + 3], *b"GRP");
    for lost in [start..1024, 1024..1536, 1536..2048, start..2048] {
        let copy = disk.copy();
        copy.patch(name, |bytes| bytes[lost.clone()].fill(0));
        assert_eq!(events_of(&copy, &tiny()).unwrap().len(), 6, "{lost:?}");
        assert!(copy.files()[0].1[start..].iter().all(|b| *b == 0), "cut to zeros");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_reached_the_page_cache() {
    // Killed between write and sync: the next start sees the group, and must make it durable before it counts.
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    rig.log.append(0, &event(0, 0)).unwrap();
    disk.die_after(1);
    rig.writer.step();
    assert_eq!(rig.state(), LogState::Failed);
    drop(rig);
    disk.die_after(u64::MAX);
    let found = events_of(&disk, &tiny()).unwrap();
    assert_eq!(found.len(), 1);
    for seed in 0..50 {
        assert_eq!(events_of(&disk.crash(seed), &tiny()).unwrap(), found);
    }
}

#[test]
fn after_a_failed_sync_the_next_start_writes_again_what_it_finds() {
    let disk = MemStorage::default();
    let mut rig = Rig::open(&disk, &tiny()).unwrap();
    for n in 0..3 {
        rig.log.append(0, &event(0, n)).unwrap();
        disk.fail_syncs_of((n == 2).then_some("00000000000000000001.seg"));
        rig.writer.step();
    }
    assert_eq!(rig.state(), LogState::Failed);
    drop(rig);
    disk.fail_syncs_of(None);
    // The page cache still shows the group, and no sync would ever write it.
    let found = events_of(&disk, &tiny()).unwrap();
    assert_eq!(found.len(), 3);
    for seed in 0..50 {
        assert_eq!(events_of(&disk.crash(seed), &tiny()).unwrap(), found);
    }
}

#[test]
fn what_is_acknowledged_after_a_kill_at_any_step_survives_a_power_cut() {
    for steps in 0..160 {
        let disk = MemStorage::default();
        disk.die_after(steps);
        for start in 0..2 {
            let Ok(mut rig) = Rig::open(&disk, &tiny()) else { break };
            for n in 0..4 {
                let mut durable = rig.log.append_durable(0, &[large_event(0, start * 10 + n, 1500, b'x')]);
                while now(&mut durable).is_none() {
                    rig.preparer.step();
                    rig.writer.step();
                }
            }
        }
        // Killed, and started once more.
        disk.die_after(u64::MAX);
        let mut rig = Rig::open(&disk, &tiny()).unwrap();
        let mut durable = rig.log.append_durable(0, &[event(0, 99)]);
        // Before the preparer has a chance to sync the directory.
        rig.writer.step();
        if now(&mut durable).is_none() {
            rig.settle();
            assert_eq!(now(&mut durable), Some(Ok(())));
        }
        let end = rig.log.durable_end();
        for seed in 0..8 {
            let found = events_of(&disk.crash(seed), &tiny()).unwrap();
            assert_eq!(
                (found.len() as u64, lane_and_number(&found[found.len() - 1].event)),
                (end.0, (0, 99)),
                "{steps}"
            );
        }
    }
}
