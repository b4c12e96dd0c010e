//! Many bytes of a JSON text looked at together: with SSE2 and AVX2, or with plain code, which says what the others have
//! to say.

/// Bytes of one step through a string.
pub const STEP: usize = 16;

/// Bytes of one step through a text.
const WIDE: usize = 32;

/// What is to be known of a text before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// All is ASCII: then it is UTF-8.
    pub is_ascii: bool,
    /// There are no backslashes and no control characters: strings end at the next quote and are what they say, and white
    /// space is only spaces.
    pub is_plain: bool,
}

#[inline]
pub fn look(bytes: &[u8]) -> Look {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { look_by_avx2(bytes) };
    }
    look_by(bytes)
}

/// The same code, made for larger registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn look_by_avx2(bytes: &[u8]) -> Look {
    look_by(bytes)
}

#[inline(always)]
pub(super) fn look_by(bytes: &[u8]) -> Look {
    // The least and the greatest byte in each place, and how near one comes to a backslash.
    let (mut least, mut most, mut near) = ([b' '; WIDE], [0; WIDE], [1; WIDE]);
    let (chunks, rest) = bytes.as_chunks::<WIDE>();
    let mut take = |chunk: &[u8; WIDE]| {
        for (i, byte) in chunk.iter().enumerate() {
            least[i] = least[i].min(*byte);
            most[i] = most[i].max(*byte);
            near[i] = near[i].min(byte ^ b'\\');
        }
    };
    chunks.iter().for_each(&mut take);
    match bytes.last_chunk() {
        // With some bytes that have been looked at.
        Some(last) => take(last),
        None => {
            let mut last = [b' '; WIDE];
            last[..rest.len()].copy_from_slice(rest);
            take(&last);
        }
    }
    let has = |places: [u8; WIDE], is: fn(u8) -> bool| places.into_iter().fold(false, |any, byte| any | is(byte));
    Look {
        is_ascii: !has(most, |byte| byte > 0x7f),
        is_plain: !has(least, |byte| byte < b' ') & !has(near, |byte| byte == 0),
    }
}

/// One bit for each byte, the first lowest: set where a quote is.
#[inline(always)]
pub fn quotes(bytes: &[u8; STEP]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
        // SAFETY: SSE2 is part of every x86-64, and the load, which may be unaligned, reads exactly the sixteen bytes.
        unsafe {
            let x = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(b'"' as i8))) as u32
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    portable::quotes(bytes)
}

/// The place of the first quote; the length if there is none.
#[inline(never)]
pub fn find_quote(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let found = quotes(chunk);
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = behind;
    }
    let in_rest = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    bytes.len() - rest.len() + in_rest
}

/// The first quote, backslash or control character among sixteen bytes; 16 if there is none.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn first_special(bytes: &[u8; STEP]) -> usize {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 is part of every x86-64, and the load, which may be unaligned, reads exactly the sixteen bytes.
    let marks = unsafe {
        let (x, last_control) = (_mm_loadu_si128(bytes.as_ptr().cast()), _mm_set1_epi8(0x1f));
        let quote = _mm_cmpeq_epi8(x, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(x, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(_mm_max_epu8(x, last_control), last_control);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control))
    };
    (marks as u32 | 1 << STEP).trailing_zeros() as usize
}

#[cfg(not(target_arch = "x86_64"))]
pub use portable::first_special;

/// The same in ordinary registers.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub mod portable {
    use super::STEP;

    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    pub fn quotes(bytes: &[u8; STEP]) -> u32 {
        bytes.iter().rev().fold(0, |marks, byte| marks << 1 | u32::from(*byte == b'"'))
    }

    /// Eight bytes at a time.
    pub fn first_special(bytes: &[u8; STEP]) -> usize {
        let (halves, _) = bytes.as_chunks();
        halves.iter().map(first_of_eight).enumerate().find(|(_, at)| *at < 8).map_or(STEP, |(half, at)| half * 8 + at)
    }

    fn first_of_eight(bytes: &[u8; 8]) -> usize {
        let x = u64::from_le_bytes(*bytes);
        let quote = (x ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
        let backslash = (x ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
        let control = x.wrapping_sub(ONES * 0x20);
        // Bytes of 0x80 and above are never special, and all three differences may mark them. Only the lowest mark
        // counts: a borrow out of a marked byte may mark the ones above it.
        let marks = (quote | backslash | control) & !x & HIGHS;
        marks.trailing_zeros() as usize / 8
    }
}
