//! A log that another process may be writing: read as it stands now, without taking it and without changing anything.
//! That process may also remove segments: who has not come by them by then is told that they are gone.

use std::io::ErrorKind::NotFound;
use std::sync::Arc;

use super::older::{self, Older};
use super::recovery::{check, io_error, segment_name};
use super::shared::Index;
use super::storage::Storage;
use super::{LogReader, OpenError, ReadError};
use crate::event::Offset;

/// A group that is just being written can look damaged for a moment.
const ATTEMPTS: usize = 3;

/// The events that were whole when it was opened.
pub struct ReadOnlyLog(Kept);

/// What it is kept in.
enum Kept {
    Files(Arc<Index>, Option<Arc<dyn Older>>),
    #[cfg(feature = "kafka")]
    Topic(Box<super::kafka::KafkaTopic>),
}

impl ReadOnlyLog {
    /// Checks every byte, as a start does; `progress` gets the bytes checked and the bytes in all.
    pub fn open(storage: Arc<dyn Storage>, progress: &mut dyn FnMut(u64, u64)) -> Result<ReadOnlyLog, OpenError> {
        let mut attempt = 1;
        loop {
            let names = storage.list().map_err(io_error(format!("list {}", storage.locate(""))))?;
            match check(&*storage, &names, progress) {
                Ok((found, _)) => {
                    let end = found.last.map_or(Offset(0), |last| last.end);
                    return Ok(ReadOnlyLog(Kept::Files(Arc::new(Index::new(storage, found.segments, end)), None)));
                }
                Err(OpenError::Corrupt { .. }) if attempt < ATTEMPTS => attempt += 1,
                // The oldest segments may go between the listing and the reading.
                Err(OpenError::Io { source, .. }) if source.kind() == NotFound && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// With what it does not begin with any more.
    #[must_use]
    pub fn with_older(mut self, kept: Arc<dyn Older>) -> ReadOnlyLog {
        match &mut self.0 {
            Kept::Files(_, older) => *older = Some(kept),
            #[cfg(feature = "kafka")]
            Kept::Topic(_) => {}
        }
        self
    }

    /// Of a topic, as far as it goes now.
    #[cfg(feature = "kafka")]
    pub fn of_topic(config: &crate::config::Kafka) -> Result<ReadOnlyLog, OpenError> {
        Ok(ReadOnlyLog(Kept::Topic(Box::new(super::kafka::KafkaTopic::open(config)?))))
    }

    /// The first event that it has itself.
    pub fn begin(&self) -> Offset {
        match &self.0 {
            Kept::Files(index, _) => index.begin(),
            #[cfg(feature = "kafka")]
            Kept::Topic(_) => Offset(0),
        }
    }

    /// One past the last event.
    pub fn end(&self) -> Offset {
        match &self.0 {
            Kept::Files(index, _) => index.durable_end(),
            #[cfg(feature = "kafka")]
            Kept::Topic(topic) => topic.end(),
        }
    }

    /// Makes all events from `from` on durable, whoever wrote them: what another process has written may not be synced yet.
    /// What can be read from a topic is durable.
    pub fn sync(&self, from: Offset) -> Result<(), ReadError> {
        match &self.0 {
            Kept::Files(index, _) => sync(index, from),
            #[cfg(feature = "kafka")]
            Kept::Topic(_) => Ok(()),
        }
    }

    pub fn read(&self, from: Offset) -> Result<Box<dyn LogReader>, ReadError> {
        match &self.0 {
            Kept::Files(index, older) => older::read(index, older.as_ref(), from),
            #[cfg(feature = "kafka")]
            Kept::Topic(topic) => topic.read(from),
        }
    }
}

fn sync(index: &Index, from: Offset) -> Result<(), ReadError> {
    let first = index.holding(from.max(index.begin())).map_or(1, |segment| segment.number);
    for header in (first..).map_while(|number| index.segment(number)) {
        let name = segment_name(header.number);
        let synced = index.storage.open(&name).and_then(|file| file.sync_data());
        synced.map_err(|source| ReadError::Io { segment: index.storage.locate(&name), source })?;
    }
    Ok(())
}
