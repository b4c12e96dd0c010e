//! The hash of the transform `hash`, so that training can compute it too. It is part of every model that uses it and never
//! changes.
//!
//! ```text
//! def fold(a, b): p = a * b; return (p & (2**64 - 1)) ^ (p >> 64)
//! def hash64(seed, data):
//!     h = seed ^ (len(data) * 0x9E3779B97F4A7C15 % 2**64)
//!     for i in range(0, len(data), 8): h = fold(h ^ int.from_bytes(data[i:i+8], "little"), 0xD6E8FEB86659FD93)
//!     return fold(h ^ 0xA0761D6478BD642F, 0xE7037ED1A0B428DB)
//! def bucket(feature, data, bits): return hash64(hash64(0, feature.encode()), data) >> (64 - bits)
//! ```
//! `data` is the text in UTF-8, or a number as its eight little-endian bytes of f64.

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// Up to eight bytes as a little-endian number; only ever compared with what Python makes of the same bytes.
#[inline]
fn tail(bytes: &[u8]) -> u64 {
    let half = |at: usize| bytes[at..].first_chunk::<4>().map_or(0, |four| u64::from(u32::from_le_bytes(*four)));
    match bytes.len() {
        0 => 0,
        // First, middle and last byte are all there are; where they are the same one, or'ing it twice does no harm.
        len @ 1..4 => [0, len / 2, len - 1].iter().fold(0, |word, &at| word | u64::from(bytes[at]) << (8 * at)),
        len => half(0) | half(len - 4) << (8 * (len - 4)),
    }
}

#[inline]
pub fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // All words but the last, which has one to eight bytes: texts of like length take the same way.
    let (words, rest) = bytes.split_at(bytes.len().saturating_sub(1) / 8 * 8);
    for word in words.as_chunks().0 {
        hash = fold(hash ^ u64::from_le_bytes(*word), 0xD6E8_FEB8_6659_FD93);
    }
    if !rest.is_empty() {
        let last = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            None => tail(rest),
        };
        hash = fold(hash ^ last, 0xD6E8_FEB8_6659_FD93);
    }
    fold(hash ^ 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_python_computes() {
        // By the function in the module's text.
        let text = b"abcdefghijklmnopqrstuvwxyz";
        for (length, &hash) in EXPECTED.iter().enumerate() {
            assert_eq!(hash64(7, &text[..length]), hash, "{length} bytes");
        }
    }

    const EXPECTED: &[u64] = &[
        0xaeec_5559_c50a_6f2b,
        0xaefd_8f3a_3368_e917,
        0xf0f8_c5f5_4803_a38b,
        0x86ed_508b_9812_ce01,
        0xd7b1_e353_2c4e_4ff1,
        0x9220_096e_6345_e556,
        0x8683_0c8a_42e4_9249,
        0x8716_4e92_6a33_8362,
        0x9b2a_822f_49d9_72e8,
        0xe53f_a8b6_f68e_6005,
        0xe10c_3422_2f16_194f,
        0xbcdb_39ef_ac57_92a0,
        0xa61a_f441_dfe0_2335,
        0x6b3a_ef13_b188_f63e,
        0xa390_628b_3379_3187,
        0x4c06_7b4a_af1f_9dd4,
        0xc8cb_23b9_2088_243a,
        0x0bfe_a2ac_b25f_765d,
    ];
}
