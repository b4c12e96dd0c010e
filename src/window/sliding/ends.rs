//! Where the ends of windows stand among the events of a series, and how they move along.
//!
//! An end's place is that of the first event behind it: the number of a chunk above, of an event in it below.

use std::collections::VecDeque;
use std::ops::Range;

use super::chunk::Chunk;

/// Places that an end goes back at one look. Who asks about longer ago has the events looked through: otherwise asking
/// about now and then in turns would move an end over all of them each time.
const MAX_BACK: usize = 64;

/// Bits of a place that tell the event in its chunk; those above tell the chunk.
const AT_BITS: u32 = 8;

pub(super) fn place(chunk: usize, at: usize) -> i64 {
    (chunk << AT_BITS | at) as i64
}

fn of_place(place: i64) -> (usize, usize) {
    (place as usize >> AT_BITS, place as usize & ((1 << AT_BITS) - 1))
}

/// Moves an end on behind all that is not later. `passes` gets what it passes, in order.
#[inline]
pub(super) fn go_on(
    chunks: &VecDeque<Chunk>,
    end: &mut i64,
    until_ms: i64,
    mut passes: impl FnMut(&Chunk, Range<usize>),
) {
    let (mut number, mut at) = of_place(*end);
    while let Some(chunk) = chunks.get(number) {
        let from = at;
        if chunk.newest_ms() <= until_ms {
            at = chunk.len();
        }
        while at < chunk.len() && chunk.at_ms(at) <= until_ms {
            at += 1;
        }
        if from < at {
            passes(chunk, from..at);
        }
        if at < chunk.len() || number + 1 == chunks.len() {
            break;
        }
        (number, at) = (number + 1, 0);
    }
    *end = place(number, at);
}

/// Moves an end back before all that is later; false where that would be too far.
pub(super) fn go_back(
    chunks: &VecDeque<Chunk>,
    end: &mut i64,
    until_ms: i64,
    mut comes_back: impl FnMut(&Chunk, usize),
) -> bool {
    let (mut number, mut at) = of_place(*end);
    for _ in 0..MAX_BACK {
        if at == 0 && number > 0 {
            number -= 1;
            at = chunks[number].len();
        }
        if at == 0 || chunks[number].at_ms(at - 1) <= until_ms {
            return true;
        }
        at -= 1;
        comes_back(&chunks[number], at);
        *end = place(number, at);
    }
    false
}

/// An event was put here, in a chunk that has `len` with it; whether it is before the end.
pub(super) fn inserted(end: &mut i64, number: usize, at: usize, len: usize) -> bool {
    if *end == place(number + 1, 0) && at + 1 == len {
        // Between the last event before the end and the first one behind it: whether the end has to pass it is for the
        // next look.
        *end = place(number, at);
    }
    let is_before = *end > place(number, at);
    *end += i64::from(is_before && of_place(*end).0 == number);
    is_before
}

/// What stood in this chunk from `half` on is a chunk of its own behind it.
pub(super) fn split(end: &mut i64, number: usize, half: usize) {
    if *end > place(number, half) {
        let (chunk, at) = of_place(*end);
        *end = place(chunk + 1, if chunk == number { at - half } else { at });
    }
}

/// The first chunk goes. What of it the end had not passed.
pub(super) fn dropped_first(end: &mut i64, first: &Chunk) -> Range<usize> {
    let (chunk, at) = of_place(*end);
    *end = if chunk == 0 { 0 } else { *end - place(1, 0) };
    if chunk == 0 { at..first.len() } else { 0..0 }
}

/// Where an end of this time is.
pub(super) fn at_time(chunks: &VecDeque<Chunk>, until_ms: i64) -> i64 {
    let number = chunks.partition_point(|chunk| chunk.oldest_ms() <= until_ms).saturating_sub(1);
    place(number, chunks.get(number).map_or(0, |chunk| chunk.until(until_ms)))
}
