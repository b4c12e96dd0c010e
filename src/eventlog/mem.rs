//! The simulated disk: the second implementor of [`Storage`]. Crashes lose or tear what was not synced, space runs
//! out, syncs fail, bytes flip; all of it from seeds, so that a run can be repeated exactly.
//!
//! Only tests use it, those of this room and the simulation in `tests/sim`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::format::SECTOR;
use super::storage::{DiskFile, LockGuard, Storage};

#[derive(Clone, Default)]
struct Contents {
    /// As a running process sees it.
    now: Vec<u8>,
    /// As it is on the disk for sure.
    synced: Vec<u8>,
    /// Sectors a sync would write: those written since the last one, even if it failed.
    dirty: BTreeSet<usize>,
}

impl Contents {
    fn clean(bytes: Vec<u8>) -> Contents {
        Contents { now: bytes.clone(), synced: bytes, dirty: BTreeSet::new() }
    }

    fn sync(&mut self) {
        self.synced.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len());
            self.synced[range.clone()].copy_from_slice(&self.now[range]);
        }
    }
}

#[derive(Clone, Debug)]
enum DirOp {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Default)]
struct Disk {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    unsynced: Vec<DirOp>,
    locked: bool,
    random: u64,
    /// Steps (writes, syncs, changes of names) until the machine dies.
    steps_left: Option<u64>,
    steps: u64,
    bytes_read: u64,
    capacity: Option<u64>,
    free: Option<u64>,
    fail_sync_of: Option<String>,
}

/// A machine's disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemStorage(Arc<Mutex<Disk>>);

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match &mut self.steps_left {
            Some(0) => Err(io::Error::other("the machine is off")),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|i| self.files[*i].now.len() as u64).sum()
    }
}

fn apply(names: &mut BTreeMap<String, usize>, op: &DirOp) {
    match op {
        DirOp::Link(name, id) => {
            names.insert(name.clone(), *id);
        }
        DirOp::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        DirOp::Remove(name) => {
            names.remove(name);
        }
    }
}

impl MemStorage {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A panic of a simulated process leaves the disk as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dies at the step after `steps` more.
    pub fn die_after(&self, steps: u64) {
        self.disk().steps_left = Some(steps);
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.disk().steps
    }

    /// Writes that need more than this fail.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// What `free_bytes` says, whatever the capacity is.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.disk().free = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.disk().used()
    }

    /// Every sync of this file fails from now on.
    pub fn fail_syncs_of(&self, name: Option<&str>) {
        self.disk().fail_sync_of = name.map(str::to_owned);
    }

    /// Bytes that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.disk().bytes_read
    }

    /// All files as a running process sees them.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let disk = self.disk();
        disk.names.iter().map(|(n, i)| (n.clone(), disk.files[*i].now.clone())).collect()
    }

    /// Changes bytes behind the log's back.
    pub fn patch(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let id = disk.names[name];
        change(&mut disk.files[id].now);
        disk.files[id] = Contents::clean(disk.files[id].now.clone());
    }

    /// Removes a file behind the log's back.
    pub fn delete(&self, name: &str) {
        let mut disk = self.disk();
        disk.names.remove(name);
        disk.synced_names.remove(name);
    }

    /// A disk with the same files, all synced, and no faults.
    pub fn copy(&self) -> MemStorage {
        let disk = self.disk();
        let mut copy = Disk { names: disk.names.clone(), synced_names: disk.names.clone(), ..Disk::default() };
        copy.files = disk.files.iter().map(|f| Contents::clean(f.now.clone())).collect();
        copy.random = disk.random;
        MemStorage(Arc::new(Mutex::new(copy)))
    }

    /// What the next start finds after a power cut: of each unsynced sector either state, of unsynced names a first
    /// part of the changes.
    pub fn crash(&self, seed: u64) -> MemStorage {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = self.disk();
        let mut names = disk.synced_names.clone();
        let kept = rng.usize(..=disk.unsynced.len());
        disk.unsynced[..kept].iter().for_each(|op| apply(&mut names, op));
        // Sometimes everything or nothing, most often a mixture.
        let keep_of_100 = [0, 10, 50, 90, 100][rng.usize(..5)];
        let files = disk.files.iter().map(|file| {
            let len = if rng.u32(..100) < keep_of_100 { file.now.len() } else { file.synced.len() };
            let mut bytes = file.synced.clone();
            bytes.resize(len, 0);
            for (i, sector) in bytes.chunks_mut(SECTOR).enumerate() {
                if file.dirty.contains(&i) && rng.u32(..100) < keep_of_100 {
                    let new = &file.now[(i * SECTOR).min(file.now.len())..];
                    let n = sector.len().min(new.len());
                    sector[..n].copy_from_slice(&new[..n]);
                }
            }
            Contents::clean(bytes)
        });
        let files = files.collect();
        let after = Disk { files, synced_names: names.clone(), names, random: disk.random ^ seed, ..Disk::default() };
        MemStorage(Arc::new(Mutex::new(after)))
    }
}

struct MemFile {
    disk: MemStorage,
    id: usize,
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.disk().files[self.id].now.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.bytes_read += buf.len() as u64;
        let all = &disk.files[self.id].now;
        let part = all.get(at as usize..at as usize + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(part);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.step()?;
        let end = at as usize + bytes.len();
        let grows = end.saturating_sub(disk.files[self.id].now.len()) as u64;
        if grows > 0 && disk.capacity.is_some_and(|max| disk.used() + grows > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = &mut disk.files[self.id];
        file.now.resize(file.now.len().max(end), 0);
        file.now[at as usize..end].copy_from_slice(bytes);
        file.dirty.extend(at as usize / SECTOR..end.div_ceil(SECTOR));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.step()?;
        if let Some(name) = &disk.fail_sync_of
            && disk.names.get(name) == Some(&self.id)
        {
            // The kernel takes the pages for clean after it has told of the failure once.
            disk.files[self.id].dirty.clear();
            return Err(io::Error::other("input/output error"));
        }
        let file = &mut disk.files[self.id];
        file.sync();
        Ok(())
    }
}

struct MemLock(MemStorage);

impl LockGuard for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.0.disk().locked = false;
    }
}

impl Storage for MemStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut disk = self.disk();
        disk.step()?;
        disk.files.push(Contents::default());
        let id = disk.files.len() - 1;
        let op = DirOp::Link(name.into(), id);
        apply(&mut disk.names, &op);
        disk.unsynced.push(op);
        Ok(Arc::new(MemFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = *self.disk().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let op = DirOp::Rename(from.into(), to.into());
        apply(&mut disk.names, &op);
        disk.unsynced.push(op);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let op = DirOp::Remove(name.into());
        apply(&mut disk.names, &op);
        disk.unsynced.push(op);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.synced_names = disk.names.clone();
        disk.unsynced.clear();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn LockGuard>> {
        let mut disk = self.disk();
        if disk.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        disk.locked = true;
        Ok(Box::new(MemLock(self.clone())))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.disk().free.unwrap_or(u64::MAX))
    }

    fn locate(&self, name: &str) -> String {
        name.into()
    }

    fn random(&self) -> io::Result<u64> {
        let mut disk = self.disk();
        disk.random = disk.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(disk.random)
    }
}
