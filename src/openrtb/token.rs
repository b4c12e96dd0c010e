//! Signed tokens: a bid's facts inside its notice URLs, so that a notice can be booked without a look-up and nobody
//! else can make one.
//!
//! There are two kinds: what the exchange gets in notice URLs books money; what stands in the markup, where whoever sees the
//! ad can read it, only tracks.
//!
//! Kind (1 byte), key id (1), expiry in Unix seconds (4, little-endian), the facts, then the first 16 bytes of
//! HMAC-SHA256 over all of it; written as base64url without padding, in exactly one spelling.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use smallvec::SmallVec;

use crate::clock::UnixMs;
use crate::event::Facts;
use crate::wire::{Put, Take};

/// The kinds.
const NOTICE: u8 = 1;
const MARKUP: u8 = 2;
const HEAD_LEN: usize = 6;
const MAC_LEN: usize = 16;
const MAX_BYTES: usize = HEAD_LEN + Facts::MAX_LEN + MAC_LEN;
/// Characters of the longest token.
pub const MAX_LEN: usize = (MAX_BYTES * 4).div_ceil(3);
/// Keys in one ring: the newest, and those whose tokens still live.
pub const MAX_KEYS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    #[error("the token is malformed")]
    Malformed,
    #[error("the token's key is unknown")]
    UnknownKey,
    #[error("the token is forged or altered")]
    Forged,
    #[error("the token has expired")]
    Expired,
}

impl TokenError {
    /// A short name for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenError::Malformed => "malformed",
            TokenError::UnknownKey => "unknown_key",
            TokenError::Forged => "forged",
            TokenError::Expired => "expired",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    #[error("needs one to {MAX_KEYS} keys")]
    Count,
    #[error("has two keys with the id {0}")]
    Duplicate(u8),
}

struct Key {
    id: u8,
    /// The state after the key's own block, so that a token costs only the blocks of its message.
    mac: Hmac<Sha256>,
}

/// The keys that tokens are made and checked with.
pub struct KeyRing {
    keys: SmallVec<[Key; 2]>,
}

impl KeyRing {
    /// From the oldest key to the newest: the last one signs, all verify.
    pub fn new(keys: Vec<(u8, [u8; 32])>) -> Result<KeyRing, KeyRingError> {
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(KeyRingError::Count);
        }
        let mut ring = KeyRing { keys: SmallVec::new() };
        for (id, secret) in keys {
            if ring.keys.iter().any(|key| key.id == id) {
                return Err(KeyRingError::Duplicate(id));
            }
            let mac = Hmac::new_from_slice(&secret).map_err(|_| KeyRingError::Count)?;
            ring.keys.push(Key { id, mac });
        }
        Ok(ring)
    }

    /// Appends a token of `facts` for notice URLs that is valid until `expires_at`, cut to the second.
    pub fn sign_into(&self, facts: &Facts, expires_at: UnixMs, out: &mut impl Put) {
        self.sign(NOTICE, facts, expires_at, out);
    }

    /// The same for what the markup calls.
    pub fn sign_markup_into(&self, facts: &Facts, expires_at: UnixMs, out: &mut impl Put) {
        self.sign(MARKUP, facts, expires_at, out);
    }

    fn sign(&self, kind: u8, facts: &Facts, expires_at: UnixMs, out: &mut impl Put) {
        let Some(key) = self.keys.last() else { return };
        let expiry = (expires_at.0 / 1_000).clamp(0, i64::from(u32::MAX)) as u32;
        let mut bytes = Buffer { bytes: [0; MAX_BYTES], len: 0 };
        bytes.put(&[kind, key.id]);
        bytes.put_u32(expiry);
        facts.encode(&mut bytes);
        let mac = key.mac.clone().chain_update(bytes.filled()).finalize().into_bytes();
        bytes.put(&mac[..MAC_LEN]);
        let mut text = [0; MAX_LEN];
        if let Ok(len) = URL_SAFE_NO_PAD.encode_slice(bytes.filled(), &mut text) {
            out.put(&text[..len]);
        }
    }

    /// The facts of a notice's token made with one of these keys and not yet expired at `now`.
    pub fn verify(&self, token: &[u8], now: UnixMs) -> Result<Facts, TokenError> {
        self.verify_at(token, |_| now)
    }

    /// The same, where what time it is depends on the token.
    pub fn verify_at(&self, token: &[u8], now: impl Fn(&Facts) -> UnixMs) -> Result<Facts, TokenError> {
        match self.read(token, now)? {
            (NOTICE, facts) => Ok(facts),
            _ => Err(TokenError::Forged),
        }
    }

    /// The same of a token that tracks, which either kind does.
    pub fn verify_tracking_at(&self, token: &[u8], now: impl Fn(&Facts) -> UnixMs) -> Result<Facts, TokenError> {
        self.read(token, now).map(|(_, facts)| facts)
    }

    fn read(&self, token: &[u8], now: impl Fn(&Facts) -> UnixMs) -> Result<(u8, Facts), TokenError> {
        if token.len() > MAX_LEN {
            return Err(TokenError::Malformed);
        }
        let mut bytes = [0; MAX_BYTES];
        // The engine refuses padding and left-over bits, so one token has one spelling.
        let len = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).map_err(|_| TokenError::Malformed)?;
        let signed = len.checked_sub(MAC_LEN).ok_or(TokenError::Malformed)?;
        let (message, mac) = bytes[..len].split_at(signed);
        let mut fields = Take(message);
        let mut head = || Some((fields.u8()?, fields.u8()?, fields.u32()?));
        let (kind, key_id, expiry) = head().ok_or(TokenError::Malformed)?;
        if kind != NOTICE && kind != MARKUP {
            return Err(TokenError::Malformed);
        }
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or(TokenError::UnknownKey)?;
        let check = key.mac.clone().chain_update(message);
        check.verify_truncated_left(mac).map_err(|_| TokenError::Forged)?;
        let facts = Facts::decode(&mut fields).ok_or(TokenError::Malformed)?;
        fields.end().ok_or(TokenError::Malformed)?;
        if now(&facts).0 >= i64::from(expiry) * 1_000 {
            return Err(TokenError::Expired);
        }
        Ok((kind, facts))
    }
}

/// The bytes of one token while it is made. [`Facts::MAX_LEN`] bounds what is put here; more would be left out, and
/// such a token would not verify.
struct Buffer {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Buffer {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Put for Buffer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(free) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            free.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

impl fmt::Debug for KeyRing {
    /// Ids only: keys are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.id)).finish()
    }
}
