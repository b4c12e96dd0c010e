//! Bytes that change after they were written: the log stays closed and says where.

use super::*;
use crate::eventlog::format::SECTOR;

/// Three full segments and some, closed.
fn closed_log() -> (MemStorage, LogConfig) {
    let (disk, config) = (MemStorage::default(), LogConfig { segment_bytes: 2048, ..tiny() });
    let mut rig = Rig::open(&disk, &config).unwrap();
    let mut n = 0;
    while disk.files().iter().filter(|(name, _)| name.starts_with('0')).count() < 4 || n % 7 != 0 {
        rig.now.fetch_add(3, Ordering::Relaxed);
        let fill = [0, 0, 700, 90][n as usize % 4];
        rig.log.append((n % 2) as usize, &event(0, n)).unwrap();
        if fill > 0 {
            let with = if n % 3 == 0 { 0 } else { b'x' };
            rig.log.append(0, &large_event(0, 1000 + n, fill, with)).unwrap();
        }
        rig.settle();
        n += 1;
    }
    rig.close().unwrap();
    (disk.copy(), config)
}

#[test]
fn any_flipped_byte_is_refused_or_carries_nothing() {
    let (disk, config) = closed_log();
    let events = events_of(&disk.copy(), &config).unwrap();
    let files = disk.files();
    let last = files.iter().filter(|(n, _)| n.starts_with('0')).map(|(n, _)| n.clone()).max().unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for (name, bytes) in &files {
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1).next_multiple_of(SECTOR);
        for position in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xFF] {
                let copy = disk.copy();
                copy.patch(name, |bytes| bytes[position] ^= mask);
                match events_of(&copy, &config) {
                    Err(OpenError::Corrupt { segment, offset, what }) => {
                        assert_eq!(&segment, name, "{position}: {what}");
                        assert!(offset <= position as u64, "{name} {position}: at {offset}: {what}");
                        refused += 1;
                    }
                    Err(other) => panic!("{name} {position}: {other}"),
                    Ok(found) => {
                        let spare = !name.starts_with('0');
                        assert!(spare || (*name == last && position >= used), "{name} {position} was not noticed");
                        assert_eq!(found, events);
                        harmless += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 3 * 3 * 2048 && harmless > 0, "{refused} {harmless}");
}

#[test]
fn a_damaged_spare_is_made_blank_again() {
    let (disk, config) = closed_log();
    let spares = ["prepared.seg", "reserve.seg"];
    for name in spares {
        disk.patch(name, |bytes| bytes[700] = 7);
    }
    let opened = SegmentLog::open(Arc::new(disk.clone()), config.clone(), &mut |_, _| {}).unwrap();
    let told = opened.put_right();
    assert!(told.len() == 2 && spares.iter().zip(told).all(|(name, line)| line.contains(name)), "{told:?}");
    assert!(told.iter().all(|line| line.contains("byte 700")), "{told:?}");
    drop(opened);
    let before = events_of(&disk, &config).unwrap().len();
    assert!(disk.files().iter().filter(|(n, _)| spares.contains(&n.as_str())).all(|(_, bytes)| bytes[700] == 0));
    assert!(before > 0);
}

#[test]
fn a_message_says_where_what_and_what_to_do() {
    let (disk, config) = closed_log();
    disk.patch("00000000000000000002.seg", |bytes| bytes[600] ^= 4);
    let message = events_of(&disk, &config).unwrap_err().to_string();
    for part in ["00000000000000000002.seg", "byte 512", "checksum", "backup"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let (disk, config) = closed_log();
    for number in 1..=3 {
        let copy = disk.copy();
        copy.delete(&format!("{number:020}.seg"));
        let error = events_of(&copy, &config).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }) && error.to_string().contains("missing"), "{error}");
    }
    let copy = disk.copy();
    (1..=4).for_each(|number| copy.delete(&format!("{number:020}.seg")));
    assert!(matches!(events_of(&copy, &config), Err(OpenError::Corrupt { .. })), "only the reserve is left");
}

#[test]
fn a_lost_sector_in_the_middle_is_noticed() {
    let (disk, config) = closed_log();
    for number in 1..=3 {
        let name = format!("{number:020}.seg");
        for sector in 0..4 {
            let copy = disk.copy();
            copy.patch(&name, |bytes| bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0));
            assert!(matches!(events_of(&copy, &config), Err(OpenError::Corrupt { .. })), "{name} sector {sector}");
        }
    }
}

#[test]
fn a_lost_header_sector_before_later_groups_is_noticed() {
    let (disk, config) = (MemStorage::default(), LogConfig { segment_bytes: 16384, ..tiny() });
    let mut rig = Rig::open(&disk, &config).unwrap();
    for n in 0..8 {
        rig.log.append(0, &large_event(0, n, 900, b'x')).unwrap();
        rig.settle();
    }
    rig.close().unwrap();
    for sector in 1..15 {
        let copy = disk.copy();
        copy.patch("00000000000000000001.seg", |bytes| bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0));
        assert!(matches!(events_of(&copy, &config), Err(OpenError::Corrupt { .. })), "sector {sector}");
    }
}

#[test]
fn another_segments_bytes_do_not_pass() {
    let (disk, config) = closed_log();
    let files = disk.files();
    let group = files[0].1[512..1024].to_vec();
    disk.patch("00000000000000000002.seg", |bytes| bytes[512..1024].copy_from_slice(&group));
    assert!(matches!(events_of(&disk, &config), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_reader_notices_damage_and_newer_events() {
    let (disk, config) = (MemStorage::default(), tiny());
    let mut rig = Rig::open(&disk, &config).unwrap();
    rig.log.append(0, &event(0, 0)).unwrap();
    rig.settle();
    let mut reader = rig.log.read(Offset(0)).unwrap();
    disk.patch("00000000000000000001.seg", |bytes| bytes[560] ^= 1);
    let error = reader.next_event().unwrap_err();
    assert!(matches!(&error, ReadError::Corrupt { position: 512, .. }), "{error}");

    // A group that is whole, with an event of a kind nobody knows.
    use crate::eventlog::format::{Checksum, SegmentHeader};
    use crate::eventlog::group::GroupBuilder;
    disk.patch("00000000000000000001.seg", |bytes| {
        let header = SegmentHeader::decode(bytes).unwrap();
        let (sum, mut builder) = (Checksum::salted(header.salt), GroupBuilder::new());
        builder.push(sum, UnixMs(5_000), &[200, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let group = builder.finish(sum, 0, Offset(0), false, 512).to_vec();
        bytes[512..512 + group.len()].copy_from_slice(&group);
    });
    let error = rig.log.read(Offset(0)).unwrap().next_event().unwrap_err();
    assert!(matches!(error, ReadError::UnknownEvent { kind: 200, version: 9, position: 552, .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000001.seg"));
}

#[test]
fn a_last_group_that_holds_zeros_is_not_taken_for_torn() {
    let (disk, config) = (MemStorage::default(), tiny());
    let mut rig = Rig::open(&disk, &config).unwrap();
    rig.log.append(0, &event(0, 0)).unwrap();
    rig.settle();
    rig.log.append(0, &large_event(0, 1, 1700, 0)).unwrap();
    rig.settle();
    rig.close().unwrap();
    let name = "00000000000000000001.seg";
    let used = disk.files()[0].1.iter().rposition(|b| *b != 0).unwrap() + 1;
    assert!(used > SECTOR + 1700);
    for position in 0..used {
        let copy = disk.copy();
        copy.patch(name, |bytes| bytes[position] ^= 0x40);
        assert!(matches!(events_of(&copy, &config), Err(OpenError::Corrupt { .. })), "byte {position}");
    }
    // A sector of it that is gone, though, is one that was never written.
    let copy = disk.copy();
    copy.patch(name, |bytes| bytes[2 * SECTOR..].fill(0));
    assert_eq!(events_of(&copy, &config).unwrap().len(), 1);
}
