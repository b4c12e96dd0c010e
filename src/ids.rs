//! Identifiers: small integers inside, strings only at the edges.

use std::fmt;

/// The number a campaign got when the log first saw it; it never changes and is never given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignNo(pub u32);

/// A gavel process in a fleet; a single node is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// One start of a node; grows by one at each start and is durable before anything else happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// A lease: the start it belongs to and its number within it. Never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    pub epoch: Epoch,
    pub seq: u32,
}

/// A reservation: where, in which start, in which minute, and which one of that minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId {
    pub node: NodeId,
    pub epoch: Epoch,
    /// Minutes since 1970: reservation bits are kept and dropped a bucket at a time.
    pub bucket: u32,
    pub seq: u32,
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// A [`ReservationId`] written out.
pub struct ReservationText([u8; 28]);

impl ReservationText {
    pub fn as_str(&self) -> &str {
        // They are digits, so nothing is ever replaced by the default.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl ReservationId {
    /// Its hexadecimal digits, without the formatting machinery: every bid writes them.
    pub fn text(self) -> ReservationText {
        let low = u64::from(self.bucket) << 32 | u64::from(self.seq);
        let high = u64::from(self.node.0) << 32 | u64::from(self.epoch.0);
        let digit = |of: u64, place: usize| b"0123456789abcdef"[(of >> (4 * place) & 0xf) as usize];
        ReservationText(std::array::from_fn(|i| if i < 12 { digit(high, 11 - i) } else { digit(low, 27 - i) }))
    }

    /// The inverse of `Display`: 28 hexadecimal digits.
    pub fn parse(text: &str) -> Option<ReservationId> {
        if text.len() != 28 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let part = |from: usize, to: usize| u32::from_str_radix(&text[from..to], 16).ok();
        Some(ReservationId {
            node: NodeId(part(0, 4)? as u16),
            epoch: Epoch(part(4, 12)?),
            bucket: part(12, 20)?,
            seq: part(20, 28)?,
        })
    }
}

/// An ISO 4217 currency code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    pub const USD: Currency = Currency(*b"USD");

    pub fn parse(text: &str) -> Option<Currency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stable 32-bit number for a configured name (an exchange): FNV-1a. Config refuses two names with one number.
pub const fn name_hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservation_ids_round_trip() {
        let id = ReservationId { node: NodeId(1), epoch: Epoch(7), bucket: 29_000_000, seq: u32::MAX };
        assert_eq!(ReservationId::parse(&id.to_string()), Some(id));
        assert_eq!(ReservationId::parse("xyz"), None);
        assert_eq!(ReservationId::parse(&"é".repeat(14)), None);
    }

    #[test]
    fn currencies_are_three_capitals() {
        assert_eq!(Currency::parse("USD"), Some(Currency::USD));
        for bad in ["usd", "US", "USDX", "U$D", "é1"] {
            assert_eq!(Currency::parse(bad), None, "{bad}");
        }
    }
}
