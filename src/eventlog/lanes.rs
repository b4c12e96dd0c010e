//! Where producers leave encoded events, and the writer's cut of them.
//!
//! A lane is a byte buffer of units; a unit is the events of one call and is never split over groups. Each event is
//! prefixed by its length, whose top bit says that the next event belongs to the same unit.

use std::sync::{Mutex, MutexGuard};

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::AppendError;
use super::group::RECORD_HEADER;
use crate::event::{Event, Offset};

const MORE: u32 = 1 << 31;
const PREFIX: usize = 4;

/// How much may be appended.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Bytes in one lane.
    pub lane_bytes: usize,
    /// Bytes of one unit's records in a group.
    pub unit_bytes: usize,
}

#[derive(Debug)]
pub struct Waiter {
    /// Its unit ends here in the buffer.
    end: usize,
    /// Of its unit's first event, once the unit is in a group.
    offset: Offset,
    done: Done,
}

/// What a waiter waits for.
#[derive(Debug)]
enum Done {
    Durable(oneshot::Sender<Result<(), AppendError>>),
    /// The offset; at once when it is written, or when it is durable.
    Placed {
        done: oneshot::Sender<Result<Offset, AppendError>>,
        at_once: bool,
    },
    /// It has been told already.
    Told,
}

impl Waiter {
    /// Tells whoever is not told yet. A caller that has gone away is not told.
    fn tell(&mut self, result: Result<(), AppendError>) {
        match std::mem::replace(&mut self.done, Done::Told) {
            Done::Durable(done) => drop(done.send(result)),
            Done::Placed { done, .. } => drop(done.send(result.map(|()| self.offset))),
            Done::Told => {}
        }
    }
}

/// One producer's buffer. On its own cache lines: workers must not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Lane {
    buf: Vec<u8>,
    waiters: Vec<Waiter>,
}

impl Lane {
    /// Appends one unit, or nothing at all. `Ok(true)` when this made the lane half full.
    pub fn push(&mut self, events: &[Event], limits: LaneLimits) -> Result<bool, AppendError> {
        let start = self.buf.len();
        let mut unit_bytes = 0;
        for (i, event) in events.iter().enumerate() {
            let at = self.buf.len();
            self.buf.extend_from_slice(&[0; PREFIX]);
            event.encode(&mut self.buf);
            let len = self.buf.len() - at - PREFIX;
            unit_bytes += RECORD_HEADER + len;
            if unit_bytes > limits.unit_bytes || self.buf.len() - start > limits.lane_bytes {
                self.buf.truncate(start);
                let max = limits.unit_bytes.min(limits.lane_bytes);
                return Err(AppendError::TooLarge { bytes: unit_bytes, max });
            }
            let more = if i + 1 < events.len() { MORE } else { 0 };
            self.buf[at..at + PREFIX].copy_from_slice(&(len as u32 | more).to_le_bytes());
        }
        if self.buf.len() > limits.lane_bytes {
            self.buf.truncate(start);
            return Err(AppendError::Busy);
        }
        let half = limits.lane_bytes / 2;
        Ok(start < half && self.buf.len() >= half)
    }

    /// Who is to be told about the unit pushed last.
    pub fn wait_for_last(&mut self, done: oneshot::Sender<Result<(), AppendError>>) {
        self.waiters.push(Waiter { end: self.buf.len(), offset: Offset(0), done: Done::Durable(done) });
    }

    /// Who is to be told where the unit pushed last is, at once when it is written or when it is durable.
    pub fn place_of_last(&mut self, done: oneshot::Sender<Result<Offset, AppendError>>, at_once: bool) {
        self.waiters.push(Waiter { end: self.buf.len(), offset: Offset(0), done: Done::Placed { done, at_once } });
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// How many events wait in it.
    #[cfg(feature = "kafka")]
    pub fn events(&self) -> usize {
        let mut rest = &self.buf[..];
        let events = std::iter::from_fn(|| {
            let (event, _, tail) = split_event(rest)?;
            rest = tail;
            Some(event)
        });
        events.count()
    }

    pub fn bytes(&self) -> usize {
        self.buf.len()
    }
}

/// A taken lane and how far it has been written.
#[derive(Debug, Default)]
struct Part {
    lane: Lane,
    written: usize,
    /// Waiters whose units are in a group.
    placed: usize,
}

/// Events of one unit and what they take.
pub struct Unit<'a> {
    bytes: &'a [u8],
    /// Bytes of its records in a group.
    pub record_bytes: usize,
}

impl<'a> Unit<'a> {
    /// The first of a buffer of units.
    fn first(all: &'a [u8]) -> Option<Unit<'a>> {
        let (mut end, mut record_bytes, mut more) = (0, 0, true);
        while more {
            let (event, goes_on, _) = split_event(&all[end..])?;
            end += PREFIX + event.len();
            record_bytes += RECORD_HEADER + event.len();
            more = goes_on;
        }
        Some(Unit { bytes: &all[..end], record_bytes })
    }

    /// The encoded events.
    pub fn events(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (event, _, tail) = split_event(rest)?;
            rest = tail;
            Some(event)
        })
    }
}

fn split_event(bytes: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    let word = u32::from_le_bytes(*prefix);
    let (event, rest) = rest.split_at_checked((word & !MORE) as usize)?;
    Some((event, word & MORE != 0, rest))
}

/// Everything that was in the lanes at one instant, being written. Its buffers go back to the lanes at the next cut,
/// so nothing is allocated in the steady state.
#[derive(Debug)]
pub struct Cut {
    parts: Vec<Part>,
    current: usize,
}

impl Cut {
    /// For `lanes` producers and the follower's own lane.
    pub fn new(lanes: usize) -> Cut {
        Cut { parts: (0..=lanes).map(|_| Part::default()).collect(), current: 0 }
    }

    /// Takes all lanes at once, so that no event is taken before one that it could have known of. Only when the
    /// previous cut is written.
    pub fn take(&mut self, own: &mut Lane, lanes: &[Mutex<Lane>]) {
        debug_assert!(self.is_written());
        let mut guards: SmallVec<[MutexGuard<'_, Lane>; 32]> = lanes.iter().map(lock).collect();
        let taken = std::iter::once(own).chain(guards.iter_mut().map(|g| &mut **g));
        for (part, lane) in self.parts.iter_mut().zip(taken) {
            part.lane.buf.clear();
            part.lane.waiters.clear();
            std::mem::swap(&mut part.lane, lane);
            (part.written, part.placed) = (0, 0);
        }
        self.current = 0;
    }

    pub fn is_written(&self) -> bool {
        self.parts[self.current..].iter().all(|p| p.written == p.lane.buf.len())
    }

    /// All units that are not written yet, in order.
    #[cfg(feature = "kafka")]
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        self.parts[self.current..].iter().flat_map(|part| {
            let mut rest = part.lane.buf.get(part.written..).unwrap_or_default();
            std::iter::from_fn(move || {
                let unit = Unit::first(rest)?;
                rest = &rest[unit.bytes.len()..];
                Some(unit)
            })
        })
    }

    /// The next unit to be written.
    pub fn peek(&mut self) -> Option<Unit<'_>> {
        while self.current + 1 < self.parts.len() && self.parts[self.current].at_end() {
            self.current += 1;
        }
        let part = &self.parts[self.current];
        Unit::first(part.lane.buf.get(part.written..)?)
    }

    /// The unit seen by `peek` is in the group, from this offset on.
    pub fn advance(&mut self, unit_buffer_bytes: usize, offset: Offset) {
        let part = &mut self.parts[self.current];
        part.written += unit_buffer_bytes;
        if let Some(waiter) = part.lane.waiters.get_mut(part.placed).filter(|w| w.end == part.written) {
            waiter.offset = offset;
            part.placed += 1;
        }
    }

    /// Tells those who only wait for the write.
    pub fn tell_placed(&mut self) {
        for part in &mut self.parts {
            let placed = part.lane.waiters.iter_mut().take(part.placed);
            placed.filter(|w| matches!(w.done, Done::Placed { at_once: true, .. })).for_each(|w| w.tell(Ok(())));
        }
    }

    /// Tells everyone whose unit is written.
    pub fn answer_written(&mut self) {
        for part in &mut self.parts {
            let ready = part.lane.waiters.iter().take_while(|w| w.end <= part.written).count();
            part.lane.waiters.drain(..ready).for_each(|mut waiter| waiter.tell(Ok(())));
            part.placed -= ready;
        }
    }

    /// Tells everyone that their events will not be written.
    pub fn answer_all(&mut self, error: &AppendError) {
        for part in &mut self.parts {
            part.lane.answer_all(error);
        }
    }

    /// As [`Lane::refuse_waiting`], for what is not written yet.
    pub fn refuse_waiting(&mut self, error: &AppendError) {
        for part in &mut self.parts {
            part.lane.refuse_waiting(part.written, error);
        }
    }
}

impl Part {
    fn at_end(&self) -> bool {
        self.written == self.lane.buf.len()
    }
}

impl Lane {
    /// Takes out the units that someone waits for, from position `from` on, and tells them. The others stay.
    pub fn refuse_waiting(&mut self, from: usize, error: &AppendError) {
        let mut kept = from;
        let mut at = from;
        for waiter in &self.waiters {
            // Up to here nobody waits, then comes the unit of this waiter.
            while let Some(unit) = Unit::first(&self.buf[at..]).map(|u| u.bytes.len()) {
                if at + unit == waiter.end {
                    at = waiter.end;
                    break;
                }
                self.buf.copy_within(at..at + unit, kept);
                (at, kept) = (at + unit, kept + unit);
            }
        }
        self.buf.drain(kept..at);
        self.answer_all(error);
    }

    pub fn answer_all(&mut self, error: &AppendError) {
        self.waiters.drain(..).for_each(|mut waiter| waiter.tell(Err(error.clone())));
    }
}

impl Unit<'_> {
    /// Bytes it takes in its lane.
    pub fn buffer_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Nothing panics while a lane is held, save a bug in an event's encoding; then the process must not go on.
pub fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    // cannot fail: see above
    lane.lock().expect("an event's encoding panicked; the lane may hold half an event")
}
