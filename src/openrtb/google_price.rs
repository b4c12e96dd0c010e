//! Google Authorized Buyers' encrypted winning price ("Decrypt Price Confirmations").
//!
//! 28 bytes: an initialization vector of 16, the price in micros of a CPM as 8 big-endian bytes XORed with the first
//! 8 of HMAC-SHA1(encryption key, vector), and the first 4 of HMAC-SHA1(integrity key, price || vector). Web-safe base64,
//! without padding or with it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The two keys of one account, expanded once.
#[derive(Clone)]
pub struct GoogleKeys {
    encryption: Hmac<Sha1>,
    integrity: Hmac<Sha1>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GooglePriceError {
    Malformed,
    /// The integrity bytes do not match: altered, or made with other keys.
    Forged,
}

/// Base64 characters of 28 bytes.
const TEXT_LEN: usize = 38;

/// A key as Google shows it: 32 bytes in base64, of either alphabet, padded or not.
pub fn key(text: &str) -> Option<[u8; 32]> {
    let text = text.trim().trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?;
    bytes.try_into().ok()
}

impl GoogleKeys {
    /// `None` for a key that is not 32 bytes.
    pub fn new(encryption_key: &[u8], integrity_key: &[u8]) -> Option<GoogleKeys> {
        let expand = |key: &[u8]| (key.len() == 32).then(|| Hmac::new_from_slice(key).ok()).flatten();
        Some(GoogleKeys { encryption: expand(encryption_key)?, integrity: expand(integrity_key)? })
    }

    /// The price in micros of a CPM.
    pub fn decrypt(&self, text: &str) -> Result<u64, GooglePriceError> {
        let text = text.strip_suffix("==").unwrap_or(text);
        let mut message = [0u8; 28];
        if text.len() != TEXT_LEN || URL_SAFE_NO_PAD.decode_slice(text, &mut message) != Ok(28) {
            return Err(GooglePriceError::Malformed);
        }
        let (vector, rest) = message.split_at(16);
        let (hidden, signature) = rest.split_at(8);
        let pad = self.encryption.clone().chain_update(vector).finalize().into_bytes();
        let mut price = [0u8; 8];
        for ((price, hidden), pad) in price.iter_mut().zip(hidden).zip(pad) {
            *price = hidden ^ pad;
        }
        let check = self.integrity.clone().chain_update(price).chain_update(vector);
        // In constant time: how much of a guess was right is not to be learned.
        check.verify_truncated_left(signature).map_err(|_| GooglePriceError::Forged)?;
        Ok(u64::from_be_bytes(price))
    }
}

impl fmt::Debug for GoogleKeys {
    /// Keys are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GoogleKeys")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PRICE: &str = "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ==";

    pub fn published() -> GoogleKeys {
        let encryption = key("sIxwz7yw62yrfoLGt12lIHKuYrK/S5kLuApI2BQe7Ac=").unwrap();
        let integrity = key("v3fsVcMBMMHYzRhi7SpM0sdqwzvAxM6KPTu9OtVod5I=").unwrap();
        GoogleKeys::new(&encryption, &integrity).unwrap()
    }

    #[test]
    fn keys_are_read_as_google_shows_them() {
        let [standard, web_safe] = ["+/8A", "-_8A"].map(|start| format!("{start}{}", "A".repeat(39)));
        let bytes = key(&standard).unwrap();
        assert_eq!(bytes[..4], [0xfb, 0xff, 0, 0]);
        for text in [web_safe.clone(), format!("{web_safe}="), format!("{standard}=\n")] {
            assert_eq!(key(&text), Some(bytes), "{text:?}");
        }
        for text in ["", "AAAA", &standard[1..], &format!("{standard}AA"), &format!("+_{}", &standard[2..])] {
            assert_eq!(key(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_published_price_is_read() {
        assert_eq!(published().decrypt(PRICE), Ok(1_200_000));
        assert_eq!(published().decrypt(PRICE.trim_end_matches('=')), Ok(1_200_000));
    }

    #[test]
    fn one_flipped_bit_is_refused() {
        let bytes = URL_SAFE_NO_PAD.decode(PRICE.trim_end_matches('=')).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(published().decrypt(&URL_SAFE_NO_PAD.encode(&flipped)), Err(GooglePriceError::Forged));
        }
        // The four unused bits of the last character have one spelling.
        assert_eq!(published().decrypt("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMR"), Err(GooglePriceError::Malformed));
        for bad in ["", "1.20", "OG46", "OG46wAAMCggBI0VniavN7+mNy0VTKPbB3o5CMQ", "é"] {
            assert_eq!(published().decrypt(bad), Err(GooglePriceError::Malformed), "{bad}");
        }
        assert!(GoogleKeys::new(&[0; 31], &[0; 32]).is_none());
    }
}
