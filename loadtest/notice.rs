//! Notices on their way to the server, and how to forge one.

use crate::journal::{Effect, Entry};
use fastrand::Rng;
use std::rc::Rc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Win,
    Bill,
    Loss,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Win, Kind::Bill, Kind::Loss];

    pub fn text(self) -> &'static str {
        match self {
            Kind::Win => "win",
            Kind::Bill => "bill",
            Kind::Loss => "loss",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Notice {
    pub kind: Kind,
    pub post: bool,
    /// Path and query.
    pub path: String,
    /// When it is to be sent, in nanoseconds since the start.
    pub due_ns: u64,
    pub attempts: u32,
    /// An earlier attempt may have been received.
    pub maybe_received: bool,
    pub effect: Effect,
    /// None for a forgery.
    pub entry: Option<Rc<Entry>>,
}

/// A copy of `path` whose token, the last path segment, is not one that the server issued.
pub fn forge(path: &str, rng: &mut Rng) -> String {
    let query = path.find('?').unwrap_or(path.len());
    let start = path[..query].rfind('/').map_or(0, |slash| slash + 1);
    let mut bytes = path.as_bytes().to_vec();
    match rng.u8(..10) {
        // One character of the token. Never the last before a dot or the end: in base64 its low bits may be slack,
        // and another character there may stand for the same bytes.
        0..7 => {
            let candidates: Vec<usize> = (start..query.saturating_sub(1))
                .filter(|position| bytes[*position].is_ascii_alphanumeric() && bytes[position + 1] != b'.')
                .collect();
            match candidates.is_empty() {
                true => bytes.insert(query, b'x'),
                false => {
                    let position = candidates[rng.usize(..candidates.len())];
                    let old = bytes[position];
                    // Not only another case: hexadecimal tokens may ignore it.
                    while bytes[position].eq_ignore_ascii_case(&old) {
                        bytes[position] = rng.alphanumeric() as u8;
                    }
                }
            }
        }
        // A token of the right length, made up.
        7..9 => {
            for byte in &mut bytes[start..query] {
                if *byte != b'.' {
                    *byte = rng.alphanumeric() as u8;
                }
            }
        }
        // A token cut short by a quarter.
        _ => {
            let length = query - start;
            bytes.drain(query - (length / 4).max(1).min(length)..query);
        }
    }
    // Only ASCII was put in place of ASCII, unless the token was not ASCII at all.
    String::from_utf8(bytes).unwrap_or_else(|_| format!("{}forged", &path[..start]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[test]
    fn a_forgery_always_changes_the_bytes() {
        let mut rng = Rng::with_seed(1);
        // Every remainder of the length modulo 3, so with and without slack bits.
        for length in 30..60 {
            let token: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
            let path = format!("/n/bill/{}?p=1.25", URL_SAFE_NO_PAD.encode(&token));
            for _ in 0..200 {
                let forged = forge(&path, &mut rng);
                assert!(forged.starts_with("/n/bill/") && forged.ends_with("?p=1.25"), "{forged}");
                let text = forged.trim_start_matches("/n/bill/").trim_end_matches("?p=1.25");
                let lenient = base64::engine::GeneralPurpose::new(
                    &base64::alphabet::URL_SAFE,
                    base64::engine::GeneralPurposeConfig::new()
                        .with_decode_allow_trailing_bits(true)
                        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
                );
                assert_ne!(lenient.decode(text).ok(), Some(token.clone()), "{forged}");
            }
        }
    }

    #[test]
    fn forges_odd_paths_without_panic() {
        let mut rng = Rng::with_seed(2);
        for path in ["/", "/n/bill/a", "/n/bill/", "/n/bill/a.b.c?x", "/n/bill/ü?p=1", "x"] {
            for _ in 0..100 {
                forge(path, &mut rng);
            }
        }
        let parts = "/n/bill/ab.cd.ef";
        assert!((0..200).all(|_| forge(parts, &mut rng) != parts));
    }
}
