//! [`SegmentLog`]: the log in segment files, put together.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::group::{EMPTY_GROUP, MAX_GROUP_BYTES};
use super::intake::Stop;
use super::lanes::LaneLimits;
use super::older::{self, Older};
use super::reader::SegmentReader;
use super::recovery::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, io_error, recover, segment_name};
use super::segment_file::SegmentFile;
use super::shared::{Index, Shared};
use super::spares::{self, PREPARED, Preparer, RESERVE, Spare, Spares, UNFINISHED};
use super::storage::{LockGuard, Storage};
use super::writer::Writer;
use super::{
    AppendError, Clock, Durable, EventLog, Follower, LogConfig, LogReader, LogState, LogStats, OnFailed, OpenError,
    ReadError, Unstarted, Written, begin,
};
use crate::clock::UnixMs;
use crate::event::{Event, Offset};

/// A log that was checked and can be read, but is not written yet: what follows it catches up first.
pub struct Opened {
    config: LogConfig,
    index: Arc<Index>,
    segment: Option<SegmentFile>,
    spares: Spares,
    last_at: UnixMs,
    put_right: Vec<String>,
    older: Option<Arc<dyn Older>>,
    lock: Box<dyn LockGuard>,
}

/// The log in segment files of one directory.
pub struct SegmentLog {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    writer: Option<JoinHandle<()>>,
    preparer: Option<JoinHandle<()>>,
    lock: Option<Box<dyn LockGuard>>,
}

impl SegmentLog {
    /// Takes the directory, checks every byte of the log, cuts an incomplete last group, and makes the first segment
    /// and the reserve of a new log. `progress` gets the bytes checked and the bytes in all.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: LogConfig,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Opened, OpenError> {
        check(&config)?;
        let lock = storage.lock().map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked { dir: storage.locate("") },
            _ => OpenError::Io { doing: format!("lock {}", storage.locate("")), source },
        })?;
        let names = storage.list().map_err(io_error(format!("list {}", storage.locate(""))))?;
        let mut recovered = recover(&*storage, &names, progress)?;
        let has = |name: &str| names.iter().any(|n| n == name);
        let is_new = recovered.segments.is_empty();
        if is_new && has(RESERVE) {
            // The first segment is made before the reserve.
            let segment = storage.locate(&segment_name(1));
            return Err(OpenError::Corrupt { segment, offset: 0, what: "the file is missing".into() });
        }
        if let Some(first) = recovered.segments.first() {
            let removed = begin::remove_before(&*storage, &names, first);
            removed.map_err(io_error(format!("remove old segments in {}", storage.locate(""))))?;
        }
        for name in names.iter().filter(|n| n.ends_with(UNFINISHED)) {
            storage.remove(name).map_err(io_error(format!("remove {}", storage.locate(name))))?;
        }
        let mut spares = Spares::default();
        let mut put_right = Vec::new();
        if let Some((last, torn)) = recovered.last.as_ref().and_then(|last| Some((last, last.torn.as_ref()?))) {
            let (segment, at) = (storage.locate(&segment_name(last.header.number)), torn.start);
            put_right.push(format!(
                "log segment {segment} ended at byte {at} in a group that a crash had left incomplete: it was removed, \
                 nothing of it had been acknowledged"
            ));
        }
        let segment = match &recovered.last {
            Some(last) if last.sealed => None,
            Some(last) => Some(SegmentFile::resume(&*storage, last).map_err(io_error("open the last segment"))?),
            None => {
                let (header, segment) = first_segment(&*storage, &config)?;
                recovered.segments.push(header);
                Some(segment)
            }
        };
        for (name, spare) in [(PREPARED, &mut spares.prepared), (RESERVE, &mut spares.reserve)] {
            if has(name) && !(is_new && name == PREPARED) {
                let adopted = spares::adopt(&*storage, name, config.segment_bytes);
                match adopted.map_err(io_error(format!("check {}", storage.locate(name))))? {
                    Some((file, damaged_at)) => {
                        *spare = Spare::Ready(file);
                        put_right.extend(damaged_at.map(|at| {
                            let name = storage.locate(name);
                            format!("{name}, which is to be a log segment, was not blank at byte {at} and now is: check the disk")
                        }));
                    }
                    None => storage.remove(name).map_err(io_error(format!("remove {}", storage.locate(name))))?,
                }
            }
        }
        if is_new {
            spares.reserve = Spare::Ready(blank(&*storage, RESERVE, &config)?);
        }
        let ready = [&spares.prepared, &spares.reserve].into_iter().filter(|s| matches!(s, Spare::Ready(_))).count();
        spares.disk_bytes =
            recovered.segments.iter().map(|s| s.bytes).sum::<u64>() + ready as u64 * config.segment_bytes;
        let (end, last_at) = recovered.last.map_or((Offset(0), UnixMs(i64::MIN)), |last| (last.end, last.at));
        let index = Arc::new(Index::new(storage, recovered.segments, end));
        Ok(Opened { config, index, segment, spares, last_at, put_right, older: None, lock })
    }
}

impl Opened {
    /// With what it does not begin with any more.
    #[must_use]
    pub fn with_older(self, older: Arc<dyn Older>) -> Opened {
        Opened { older: Some(older), ..self }
    }

    /// One past the last durable event.
    pub fn durable_end(&self) -> Offset {
        self.index.durable_end()
    }

    /// Time of the last event; `None` in an empty log.
    pub fn last_at(&self) -> Option<UnixMs> {
        (self.durable_end() > Offset(0)).then_some(self.last_at)
    }

    /// What was found that carries no data and should not have been there, a line each.
    pub fn put_right(&self) -> &[String] {
        &self.put_right
    }

    /// As [`EventLog::read`].
    pub fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        older::read(&self.index, self.older.as_ref(), from)
    }

    /// As [`EventLog::offset_at_or_before`].
    pub fn offset_at_or_before(&self, at: UnixMs) -> Offset {
        older::offset_at_or_before(&self.index, self.older.as_ref(), at)
    }

    /// Starts the commit thread and the one that prepares segments.
    pub fn start(
        self,
        clock: Clock,
        follower: Box<dyn Follower>,
        on_failed: OnFailed,
    ) -> Result<SegmentLog, OpenError> {
        let (log, writer, preparer) = self.start_stepped(clock, follower, on_failed)?;
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).spawn(run).map_err(io_error("start a thread of the log"))
        };
        let writer = spawn("log-writer", Box::new(|| writer.run()))?;
        // Set before anyone can append; only this function sets them.
        let _ = log.shared.writer.set(writer.thread().clone());
        log.with_threads(|t| t.writer = Some(writer));
        let preparer = spawn("log-preparer", Box::new(|| preparer.run()))?;
        let _ = log.shared.helper.set(preparer.thread().clone());
        // It may have parked, or the writer may have wanted it, before it could be woken.
        log.shared.wake_helper();
        log.with_threads(|t| t.preparer = Some(preparer));
        Ok(log)
    }

    /// As [`start`](Self::start), but without threads: the caller runs the steps, in whatever order it likes.
    pub fn start_stepped(
        self,
        clock: Clock,
        follower: Box<dyn Follower>,
        on_failed: OnFailed,
    ) -> Result<(SegmentLog, Writer, Preparer), OpenError> {
        let limits = LaneLimits { lane_bytes: self.config.lane_bytes, unit_bytes: unit_bytes(&self.config) };
        let next = self.index.durable_end();
        let shared = Arc::new(Shared::new(self.config, limits, self.index, self.spares, on_failed));
        shared.stats.segments.store(shared.index.with_segments(|s| s.len()) as u64, Ordering::Relaxed);
        let writer = Writer::new(shared.clone(), clock, follower, self.segment, next, self.last_at);
        let preparer = Preparer::new(shared.clone());
        let threads = Mutex::new(Threads { lock: Some(self.lock), ..Threads::default() });
        Ok((SegmentLog { shared, threads }, writer, preparer))
    }
}

impl Unstarted for Opened {
    fn durable_end(&self) -> Offset {
        Opened::durable_end(self)
    }

    fn last_at(&self) -> Option<UnixMs> {
        Opened::last_at(self)
    }

    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        Opened::read(self, from)
    }

    fn offset_at_or_before(&self, at: UnixMs) -> Offset {
        Opened::offset_at_or_before(self, at)
    }

    fn start(
        self: Box<Self>,
        clock: Clock,
        follower: Box<dyn Follower>,
        on_failed: OnFailed,
    ) -> Result<Arc<dyn EventLog>, OpenError> {
        Ok(Arc::new(Opened::start(*self, clock, follower, on_failed)?))
    }
}

impl SegmentLog {
    fn with_threads<T>(&self, f: impl FnOnce(&mut Threads) -> T) -> T {
        f(&mut self.threads.lock().unwrap_or_else(|e| e.into_inner()))
    }

    /// Ends both threads; the writer first, which may still need what the other one prepares.
    fn join(&self, stop: Stop) {
        self.shared.request_stop(stop);
        self.with_threads(|threads| {
            let Some(writer) = threads.writer.take() else { return };
            // A panic in there was reported as a failure of the log.
            let _ = writer.join();
            self.shared.request_stop(Stop::Now);
            let _ = threads.preparer.take().map(JoinHandle::join);
            threads.lock = None;
        });
    }
}

impl EventLog for SegmentLog {
    fn append_all(&self, lane: usize, events: &[Event]) -> Result<(), AppendError> {
        self.shared.append_all(lane, events)
    }

    fn append_durable(&self, lane: usize, events: &[Event]) -> Durable {
        self.shared.append_durable(lane, events)
    }

    fn append_written(&self, lane: usize, event: &Event, synced: bool) -> Written {
        self.shared.append_written(lane, event, synced)
    }

    fn state(&self) -> LogState {
        self.shared.stats.state()
    }

    fn durable_end(&self) -> Offset {
        self.shared.index.durable_end()
    }

    fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        Ok(Box::new(SegmentReader::new(self.shared.index.clone(), from)?))
    }

    fn read_apart(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        Ok(Box::new(SegmentReader::new(Arc::new(self.shared.index.copied()), from)?))
    }

    fn offset_at_or_before(&self, at: UnixMs) -> Offset {
        older::offset_at_or_before(&self.shared.index, None, at)
    }

    fn begin(&self) -> Offset {
        self.shared.index.begin()
    }

    fn could_begin(&self, offset: Offset) -> Offset {
        self.shared.index.holding(offset).map_or(self.begin(), |segment| segment.first)
    }

    fn remove_before(&self, offset: Offset) -> io::Result<usize> {
        let index = &self.shared.index;
        let (gone, Some(first)) = index.wholly_before(offset) else { return Ok(0) };
        if gone.is_empty() {
            return Ok(0);
        }
        begin::write(&*index.storage, &first)?;
        index.forget_before(&first);
        let names: Vec<String> = gone.iter().map(|segment| segment_name(segment.number)).collect();
        let removed = begin::remove_before(&*index.storage, &names, &first)?;
        self.shared.stats.segments.fetch_sub(gone.len() as u64, Ordering::Relaxed);
        spares::give_back(&self.shared, gone.iter().map(|segment| segment.bytes).sum());
        Ok(removed)
    }

    fn stats(&self) -> &LogStats {
        &self.shared.stats
    }

    fn close(&self) -> Result<(), AppendError> {
        self.join(Stop::WhenWritten);
        match self.shared.failure() {
            Some(error) => Err(error),
            None if self.shared.unwritten.load(Ordering::Acquire) => Err(AppendError::Full),
            None => Ok(()),
        }
    }
}

impl Drop for SegmentLog {
    /// As a crash would leave it: what is not durable yet is lost.
    fn drop(&mut self) {
        self.join(Stop::Now);
    }
}

/// Bytes of records that fit into one group of a fresh segment.
fn unit_bytes(config: &LogConfig) -> usize {
    let segment = config.segment_bytes.saturating_sub((SEGMENT_HEADER + EMPTY_GROUP) as u64);
    let group = segment.min(MAX_GROUP_BYTES as u64) as usize;
    // Less padding.
    group.saturating_sub(EMPTY_GROUP + 8)
}

fn check(config: &LogConfig) -> Result<(), OpenError> {
    let bytes = config.segment_bytes;
    if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&bytes) || !bytes.is_multiple_of(512) {
        let range = format!("a multiple of 512 from {MIN_SEGMENT_BYTES} to {MAX_SEGMENT_BYTES}");
        return Err(OpenError::Config(format!("segment_bytes is {bytes}, but must be {range}")));
    }
    if config.lanes == 0 || config.lane_bytes == 0 || config.lane_bytes > 1 << 30 {
        return Err(OpenError::Config("lanes must be at least 1, and lane_bytes from 1 to 1 GiB".into()));
    }
    if config.max_bytes.is_some_and(|max| max < 3 * bytes) {
        return Err(OpenError::Config("max_bytes must be at least three times segment_bytes".into()));
    }
    Ok(())
}

fn blank(
    storage: &dyn Storage,
    name: &str,
    config: &LogConfig,
) -> Result<Arc<dyn super::storage::DiskFile>, OpenError> {
    match spares::make_blank(storage, name, config.segment_bytes, &|| true) {
        Ok(Some(file)) => Ok(file),
        Err(e) if spares::is_no_space(&e) => Err(OpenError::NoSpace { needed_bytes: config.segment_bytes }),
        Err(source) => Err(OpenError::Io { doing: format!("make {}", storage.locate(name)), source }),
        Ok(None) => Err(OpenError::Config("the first segment was not made".into())),
    }
}

fn first_segment(storage: &dyn Storage, config: &LogConfig) -> Result<(SegmentHeader, SegmentFile), OpenError> {
    let file = blank(storage, PREPARED, config)?;
    let start = || {
        let header = SegmentHeader {
            number: 1,
            first: Offset(0),
            salt: storage.random()?,
            created: UnixMs(i64::MIN),
            bytes: config.segment_bytes,
        };
        Ok((header, SegmentFile::start(storage, PREPARED, file, &header)?))
    };
    start().map_err(io_error("make the first segment"))
}
