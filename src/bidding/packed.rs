//! A campaign's JSON, packed: people and edits look at it, bids never do, and there may be a million of them.

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// What the JSON of campaigns is made of, the commonest last: 600 bytes become 120 with it, and 380 without. What is packed
/// never leaves the process, so this may be changed.
const COMMON: &[u8] = include_bytes!("packed.txt");
/// The fastest: the next ones save a fiftieth of the bytes.
const LEVEL: i32 = 1;

static PACKING: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(COMMON, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(COMMON));

thread_local! {
    /// Making one takes longer than packing with it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    bytes: Box<[u8]>,
    /// Of the text; 0 where `bytes` are the text itself.
    len: u32,
}

impl Packed {
    pub fn new(text: &str) -> Packed {
        let smaller = |bytes: &Vec<u8>| bytes.len() < text.len();
        match (pack(text.as_bytes()).filter(smaller), u32::try_from(text.len())) {
            (Some(bytes), Ok(len)) => Packed { bytes: bytes.into(), len },
            _ => Packed { bytes: text.as_bytes().into(), len: 0 },
        }
    }

    /// The text as it was.
    pub fn text(&self) -> String {
        let bytes = match self.len {
            0 => Ok(self.bytes.to_vec()),
            len => Decompressor::with_prepared_dictionary(&UNPACKING)
                .and_then(|mut from| from.decompress(&self.bytes, len as usize)),
        };
        let text = bytes.map_err(|why| why.to_string()).and_then(|b| String::from_utf8(b).map_err(|e| e.to_string()));
        // cannot fail: `new` made the bytes, from a text of that length and with this dictionary
        text.expect("it was packed here")
    }
}

/// `None` where there is no memory for it.
fn pack(text: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = Compressor::with_prepared_dictionary(&PACKING).ok();
        }
        compressor.as_mut()?.compress(text).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bidding::{campaign, demo};

    #[test]
    fn a_text_comes_back_as_it_was() {
        let mut rng = fastrand::Rng::with_seed(1);
        let random: String = (0..5_000).map(|_| rng.char(..)).collect();
        for text in ["", "{", "\u{1f98a}", demo::JSON, &demo::JSON.repeat(100), &random] {
            assert_eq!(Packed::new(text).text(), text);
        }
    }

    #[test]
    fn a_campaign_takes_a_third_or_less() {
        let all: Vec<serde_json::Value> = serde_json::from_str(demo::JSON).unwrap();
        for one in all {
            let json = campaign::parse(&one.to_string()).unwrap().json;
            let packed = Packed::new(&json);
            assert!(packed.bytes.len() * 3 <= json.len() + 100, "{} of {json}", packed.bytes.len());
        }
    }
}
