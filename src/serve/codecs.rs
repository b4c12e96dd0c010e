//! What one worker needs to undo and make content codings: state that is made when it is first needed and kept, since
//! making it costs as much as the work.
//!
//! Inflating is bounded in bytes and in processor time. Time is bounded because neither the bytes that come nor those
//! that come out bound the work: a body that is all code tables inflates to nothing.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use flate2::bufread::GzDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use rustix::time::{ClockId, clock_gettime};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, ResetDirective, compress_bound};

use super::encoding::Coding;

/// The level at which an answer of a few KiB takes 5 µs; the next one takes 13 to save an eighth of the bytes.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// The largest window that a zstd body may ask for, as a power of two: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// 32 KiB, deflate's largest; the header of gzip is written.
const GZIP_WINDOW_LOG: u8 = 15;
/// What a decoder is given at once. The time is looked at before each but the first.
const CHUNK_BYTES: usize = 16 << 10;
const FIRST_BUFFER_BYTES: usize = 16 << 10;

/// How far a body may be inflated.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub bytes: usize,
    /// Processor time of this thread: what the machine does besides is not the body's fault.
    pub time: Duration,
}

impl Bound {
    /// The bound of a body of at most `bytes`: ten times what an ordinary one of that size takes.
    pub fn of(bytes: usize) -> Bound {
        Bound { bytes, time: Duration::from_millis(50) * bytes.div_ceil(1 << 20) as u32 }
    }
}

/// Why a body is not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not what its coding says, cut off, or followed by something else.
    Malformed,
    /// Beyond the bound.
    TooLarge,
}

#[derive(Default)]
pub struct Codecs {
    from_gzip: Option<GzDecoder<Paced>>,
    from_zstd: Option<DCtx<'static>>,
    to_gzip: Option<Compress>,
    to_zstd: Option<CCtx<'static>>,
}

impl Codecs {
    /// Inflates the whole body into `out`, over what was there.
    pub fn inflate(&mut self, coding: Coding, body: Bytes, bound: Bound, out: &mut Inflated) -> Result<(), Refused> {
        let body = Paced::new(body, bound.time);
        out.length = 0;
        match coding {
            Coding::Gzip => self.inflate_gzip(body, bound.bytes, out),
            Coding::Zstd => self.inflate_zstd(body, bound.bytes, out),
        }
    }

    fn inflate_gzip(&mut self, body: Paced, most_bytes: usize, out: &mut Inflated) -> Result<(), Refused> {
        let decoder = self.from_gzip.get_or_insert_with(|| GzDecoder::new(Paced::default()));
        let mut rest = body;
        loop {
            decoder.reset(rest);
            let read = out.read(decoder, most_bytes);
            rest = std::mem::take(decoder.get_mut());
            read?;
            // One member after another is one body (RFC 1952 section 2.2).
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn inflate_zstd(&mut self, body: Paced, most_bytes: usize, out: &mut Inflated) -> Result<(), Refused> {
        let context = match &mut self.from_zstd {
            Some(context) => context,
            none => {
                let mut context = DCtx::try_create().ok_or(Refused::TooLarge)?;
                context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(|_| Refused::TooLarge)?;
                none.insert(context)
            }
        };
        context.reset(ResetDirective::SessionOnly).map_err(|_| Refused::Malformed)?;
        out.read(&mut zstd::stream::read::Decoder::with_context(body, context), most_bytes)
    }

    /// The body in that coding; none if that fails, and then it goes as it is.
    pub fn deflate(&mut self, coding: Coding, body: &[u8]) -> Option<Vec<u8>> {
        match coding {
            Coding::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                let state = self.to_gzip.get_or_insert_with(|| Compress::new_gzip(level, GZIP_WINDOW_LOG));
                state.reset();
                let mut out = Vec::with_capacity(body.len() / 2 + 512);
                loop {
                    let rest = body.get(state.total_in() as usize..)?;
                    match state.compress_vec(rest, &mut out, FlushCompress::Finish).ok()? {
                        Status::StreamEnd => return Some(out),
                        Status::Ok | Status::BufError => out.reserve(body.len() + 512),
                    }
                }
            }
            Coding::Zstd => {
                let state = match &mut self.to_zstd {
                    Some(state) => state,
                    none => {
                        let mut state = CCtx::try_create()?;
                        state.set_parameter(CParameter::CompressionLevel(ZSTD_LEVEL)).ok()?;
                        none.insert(state)
                    }
                };
                let mut out = Vec::with_capacity(compress_bound(body.len()));
                state.compress2(&mut out, body).ok()?;
                Some(out)
            }
        }
    }
}

/// A buffer that is kept for the next body.
#[derive(Default)]
pub struct Inflated {
    /// All of it was written once, so that a reader can be given any part.
    buffer: Vec<u8>,
    length: usize,
}

impl Inflated {
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Reads to the end, after what is there, if that is not beyond the bound.
    fn read(&mut self, from: &mut impl Read, most_bytes: usize) -> Result<(), Refused> {
        loop {
            if self.length == self.buffer.len() {
                // One more than the bound: only what comes tells that it ends there.
                let more = (2 * self.length).clamp(FIRST_BUFFER_BYTES, most_bytes.max(FIRST_BUFFER_BYTES) + 1);
                self.buffer.resize(more, 0);
            }
            match from.read(&mut self.buffer[self.length..]) {
                Ok(0) => return Ok(()),
                Ok(read) => self.length += read,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Refused::TooLarge),
                Err(_) => return Err(Refused::Malformed),
            }
            if self.length > most_bytes {
                return Err(Refused::TooLarge);
            }
        }
    }
}

/// A body that is given out in chunks, as long as there is time.
#[derive(Default)]
struct Paced {
    rest: Bytes,
    /// What of `rest` has been given out and not been taken.
    given: usize,
    started: Option<Duration>,
    most: Duration,
}

impl Paced {
    fn new(body: Bytes, most: Duration) -> Paced {
        let given = body.len().min(CHUNK_BYTES);
        // The time is not asked for a body that is given out at once: almost all.
        let started = (body.len() > given).then(thread_time);
        Paced { rest: body, given, started, most }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl BufRead for Paced {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given == 0 && !self.rest.is_empty() {
            if self.started.is_some_and(|started| thread_time().saturating_sub(started) >= self.most) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.given = self.rest.len().min(CHUNK_BYTES);
        }
        Ok(&self.rest[..self.given])
    }

    fn consume(&mut self, bytes: usize) {
        self.rest.advance(bytes);
        self.given -= bytes;
    }
}

impl Read for Paced {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
