//! Strings as 64-bit keys: what catalogs and requests are compared by.
//!
//! The hash is fixed, so a replay compares alike. Two of a million values collide with a chance of 1 in 37 million.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use smallvec::SmallVec;

const SEED: u64 = 0x6761_7665_6c5f_6b31;

pub fn key(text: &str) -> u64 {
    let mut hasher = FixedState::with_seed(SEED).build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// A banner size as a value of the index; other formats are small numbers.
pub fn size_key(w: u32, h: u32) -> u64 {
    1 << 63 | u64::from(w) << 32 | u64::from(h)
}

/// Most domains that one is looked for in.
const MAX_PARENTS: usize = 7;

/// A domain and the domains it lies in: `a.b.example.com`, `b.example.com`, `example.com`, `com`.
pub fn domain_keys(domain: &str, keys: &mut SmallVec<[u64; 8]>) {
    keys.push(key(domain));
    let parents = domain.bytes().filter(|b| *b == b'.').count();
    let mut rest = domain;
    for left in (0..parents).rev() {
        match rest.bytes().position(|b| b == b'.').map(|dot| &rest[dot + 1..]) {
            Some(parent) if !parent.is_empty() => rest = parent,
            _ => break,
        }
        // Of a name of many labels the outermost are what others know it by.
        if left < MAX_PARENTS {
            keys.push(key(rest));
        }
    }
}

/// A category and the category it belongs to: `IAB25-3`, `IAB25`.
pub fn category_keys(category: &str) -> impl Iterator<Item = u64> + '_ {
    let parent = category.bytes().position(|b| b == b'-').map(|end| key(&category[..end]));
    std::iter::once(key(category)).chain(parent)
}

/// Hashes user ids: the hash stands in notice tokens and in the log, and says nothing to those who lack the secret, not
/// even whether it is of a user they know.
#[derive(Clone)]
pub struct UserKey(Hmac<Sha256>);

impl UserKey {
    pub fn new(secret: &[u8; 32]) -> UserKey {
        // HMAC fills a key up with zeros to a block of the hash.
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret);
        UserKey(Hmac::new(&block.into()))
    }

    /// Never 0, which stands for an unknown user.
    pub fn hash(&self, id: &str) -> u64 {
        let hash = self.0.clone().chain_update(id).finalize().into_bytes();
        hash.first_chunk().map_or(1, |first| u64::from_le_bytes(*first).max(1))
    }
}

/// A sorted set of keys, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a>(pub &'a [u64]);

impl Keys<'_> {
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(self, key: u64) -> bool {
        self.0.binary_search(&key).is_ok()
    }

    pub fn any_of(self, keys: &[u64]) -> bool {
        !self.is_empty() && keys.iter().any(|k| self.contains(*k))
    }
}

/// A sorted set of keys.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Box<[u64]>);

impl KeySet {
    pub fn of_keys(mut keys: Vec<u64>) -> KeySet {
        keys.sort_unstable();
        KeySet(keys.into())
    }

    pub fn keys(&self) -> Keys<'_> {
        Keys(&self.0)
    }

    pub fn contains(&self, key: u64) -> bool {
        self.keys().contains(key)
    }

    pub fn any_of(&self, keys: &[u64]) -> bool {
        self.keys().any_of(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_alike_under_one_secret_only() {
        let (one, other) = (UserKey::new(&[1; 32]), UserKey::new(&[2; 32]));
        assert_eq!(one.hash("u1"), UserKey::new(&[1; 32]).hash("u1"));
        assert!(one.hash("u1") != one.hash("u2") && one.hash("u1") != other.hash("u1") && one.hash("u1") != key("u1"));
        // RFC 4231, test case 1, has a key of 20 bytes: the rest of ours is zeros, as HMAC fills it up.
        let mut secret = [0; 32];
        secret[..20].fill(0x0b);
        let first = [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53];
        assert_eq!(UserKey::new(&secret).hash("Hi There").to_le_bytes(), first);
    }

    #[test]
    fn parents_are_keys_too() {
        let mut keys = SmallVec::new();
        domain_keys("a.example.com", &mut keys);
        assert_eq!(keys.as_slice(), [key("a.example.com"), key("example.com"), key("com")]);
        let long = "1.2.3.4.5.6.7.8.9.example.com";
        keys.clear();
        domain_keys(long, &mut keys);
        assert!(keys.len() == 8 && keys[0] == key(long) && keys.contains(&key("example.com")));
        assert_eq!(category_keys("IAB25-3").collect::<Vec<_>>(), [key("IAB25-3"), key("IAB25")]);
        assert_eq!(category_keys("596").count(), 1);
    }
}
