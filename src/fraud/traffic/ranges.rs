//! Address ranges, merged and sorted: one search says whether an address lies in any of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address range: the address that it begins with, and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    ip: Ip,
    bits: u8,
}

/// An address; an IPv4 address that is written as one of IPv6 is one of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ip {
    V4(u32),
    V6(u128),
}

/// Reads an address.
pub fn address(text: &str) -> Option<Ip> {
    let v6 = |ip: Ipv6Addr| ip.to_ipv4_mapped().map_or(Ip::V6(ip.into()), |ip| Ip::V4(ip.into()));
    // Which of the two it is shows in the first few bytes.
    if text.as_bytes().iter().take(5).any(|b| *b == b':') {
        text.parse().ok().map(v6)
    } else {
        v4(text.as_bytes()).map(Ip::V4)
    }
}

/// Four numbers without zeros before them (RFC 6943 section 3.1.1): what the standard library reads, in half the time.
fn v4(text: &[u8]) -> Option<u32> {
    let (mut ip, mut part, mut digits, mut points) = (0, 0, 0, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || part != 0 => {
                part = part * 10 + u32::from(byte - b'0');
                digits += 1;
                if part > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && points < 3 => {
                ip = ip << 8 | part;
                (part, digits) = (0, 0);
                points += 1;
            }
            _ => return None,
        }
    }
    (points == 3 && digits > 0).then_some(ip << 8 | part)
}

impl Ip {
    /// What one subscriber has: an address of IPv4, a network of 64 bits of IPv6.
    pub fn network(self) -> u128 {
        match self {
            Ip::V4(ip) => u128::from(Ipv4Addr::from(ip).to_ipv6_mapped()),
            Ip::V6(ip) => ip & !u128::from(u64::MAX),
        }
    }
}

/// An address and the length of its prefix as they are written; one address alone is all of it.
pub fn written(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(width);
    (bits <= width).then_some((ip, bits))
}

impl Prefix {
    /// Reads `203.0.113.0/24`, `2001:db8::/32`, or one address.
    pub fn parse(text: &str) -> Option<Prefix> {
        let (written, bits) = written(text)?;
        Some(match address(text.split('/').next()?)? {
            Ip::V4(ip) if written.is_ipv4() => Prefix { ip: Ip::V4(ip), bits },
            Ip::V4(ip) if bits >= 96 => Prefix { ip: Ip::V4(ip), bits: bits - 96 },
            Ip::V4(ip) => Prefix { ip: Ip::V6(Ipv4Addr::from(ip).to_ipv6_mapped().into()), bits },
            Ip::V6(ip) => Prefix { ip: Ip::V6(ip), bits },
        })
    }

    /// Whether it is of all addresses there are.
    pub fn is_all(self) -> bool {
        self.bits == 0
    }
}

/// Ranges of one width, each apart from the next: where they begin and where they end.
#[derive(Debug, Default)]
struct Sorted<T> {
    first: Box<[T]>,
    last: Box<[T]>,
}

impl<T: Copy + Ord> Sorted<T> {
    /// `next` is what follows on an address, if anything does.
    fn of(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Sorted<T> {
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Sorted { first: merged.iter().map(|r| r.0).collect(), last: merged.iter().map(|r| r.1).collect() }
    }

    #[inline]
    fn contains(&self, ip: T) -> bool {
        let at = self.first.partition_point(|first| *first <= ip);
        at > 0 && ip <= self.last[at - 1]
    }
}

#[derive(Debug, Default)]
pub struct Ranges {
    v4: Sorted<u32>,
    v6: Sorted<u128>,
}

impl Ranges {
    pub fn of(prefixes: &[Prefix]) -> Ranges {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix.ip {
                Ip::V4(ip) => {
                    let rest = u32::MAX.checked_shr(prefix.bits.into()).unwrap_or(0);
                    v4.push((ip & !rest, ip | rest));
                }
                Ip::V6(ip) => {
                    let rest = u128::MAX.checked_shr(prefix.bits.into()).unwrap_or(0);
                    v6.push((ip & !rest, ip | rest));
                }
            }
        }
        Ranges { v4: Sorted::of(v4, |ip| ip.checked_add(1)), v6: Sorted::of(v6, |ip| ip.checked_add(1)) }
    }

    pub fn contains(&self, ip: Ip) -> bool {
        match ip {
            Ip::V4(ip) => self.v4.contains(ip),
            Ip::V6(ip) => self.v6.contains(ip),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.first.is_empty() && self.v6.first.is_empty()
    }

    /// The same ranges in as few prefixes as there can be.
    pub fn prefixes(&self) -> Vec<String> {
        let v4 = self.v4.first.iter().zip(&self.v4.last);
        let v4 = v4.flat_map(|(first, last)| {
            let written = |ip: u128| Ipv4Addr::from(ip as u32).to_string();
            split((*first).into(), (*last).into(), 32, written)
        });
        let v6 = self.v6.first.iter().zip(&self.v6.last);
        v4.chain(v6.flat_map(|(first, last)| split(*first, *last, 128, |ip| Ipv6Addr::from(ip).to_string()))).collect()
    }
}

/// The prefixes that a range is made of.
fn split(mut first: u128, last: u128, width: u32, written: impl Fn(u128) -> String) -> Vec<String> {
    let mut prefixes = Vec::new();
    loop {
        // As long as it may be from here on, and no longer than to the end.
        let mut free = first.trailing_zeros().min(width);
        while free > 0 && (1u128.checked_shl(free).map_or(u128::MAX, |n| n - 1)) > last - first {
            free -= 1;
        }
        prefixes.push(format!("{}/{}", written(first), width - free));
        let end = first | 1u128.checked_shl(free).map_or(u128::MAX, |n| n - 1);
        if end >= last {
            return prefixes;
        }
        first = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn ranges(texts: &[&str]) -> Ranges {
        Ranges::of(&texts.iter().map(|text| Prefix::parse(text).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_no_range_is_none() {
        for text in ["", "1.2.3.4/33", "1.2.3/8", "::/129", "x", "1.2.3.4/", "1.2.3.4/-1", "2001:db8::/+8 "] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
        for text in ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", ":", "2001:db8::g"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_what_the_standard_library_reads() {
        let mut rng = Rng::with_seed(2);
        let mut fine = 0;
        for _ in 0..200_000 {
            let parts: Vec<String> = (0..rng.usize(3..6)).map(|_| rng.u32(0..300).to_string()).collect();
            let mut text = parts.join(".").into_bytes();
            if rng.bool() {
                let at = rng.usize(..text.len());
                text[at] = b"0123456789. x"[rng.usize(..13)];
            }
            let text = String::from_utf8(text).unwrap();
            let std = text.parse::<Ipv4Addr>().ok().map(u32::from);
            assert_eq!(v4(text.as_bytes()), std, "{text}");
            fine += usize::from(std.is_some());
        }
        assert!(fine > 10_000, "{fine}");
    }

    #[test]
    fn ranges_are_written_as_few_prefixes() {
        for (texts, want) in [
            (&["10.0.0.0/25", "10.0.0.128/25", "10.0.0.3/32"][..], &["10.0.0.0/24"][..]),
            (&["0.0.0.0/1", "128.0.0.0/1"], &["0.0.0.0/0"]),
            (&["10.0.0.1", "10.0.0.2"], &["10.0.0.1/32", "10.0.0.2/32"]),
            (&["::/1", "8000::/1"], &["::/0"]),
            (&["2001:db8::/33", "2001:db8:8000::/33", "192.0.2.9/24"], &["192.0.2.0/24", "2001:db8::/32"]),
            (&["::ffff:192.0.2.0/120"], &["192.0.2.0/24"]),
        ] {
            assert_eq!(ranges(texts).prefixes(), want, "{texts:?}");
        }
    }

    /// Against a reader that asks prefix by prefix.
    #[test]
    fn an_address_is_in_it_when_it_is_in_one_of_its_prefixes() {
        let mut rng = Rng::with_seed(11);
        for round in 0..300 {
            // Close together, so that they overlap and touch.
            let v6 = round % 2 == 1;
            let width = if v6 { 128u8 } else { 32 };
            let base = if v6 { 0x2001_0db8u128 << 96 } else { 0x0a00_0000 };
            let near = |rng: &mut Rng| base | u128::from(rng.u16(..2_048)) << if v6 { rng.u32(..2) * 64 } else { 0 };
            let text =
                |ip: u128| if v6 { Ipv6Addr::from(ip).to_string() } else { Ipv4Addr::from(ip as u32).to_string() };
            let drawn: Vec<(u128, u8)> =
                (0..rng.usize(0..40)).map(|_| (near(&mut rng), width - rng.u8(0..8))).collect();
            let written: Vec<String> = drawn.iter().map(|(ip, bits)| format!("{}/{bits}", text(*ip))).collect();
            let ranges = ranges(&written.iter().map(String::as_str).collect::<Vec<_>>());
            let again = ranges.prefixes();
            let again = self::ranges(&again.iter().map(String::as_str).collect::<Vec<_>>());
            for _ in 0..300 {
                let ip = near(&mut rng).wrapping_add(rng.u128(0..3)).wrapping_sub(1);
                let slow = drawn.iter().any(|(net, bits)| (ip ^ net) >> (width - bits) == 0);
                let asked = address(&text(ip)).unwrap();
                assert_eq!(ranges.contains(asked), slow, "{} in {written:?}", text(ip));
                assert_eq!(again.contains(asked), slow, "{} in {:?}", text(ip), again.prefixes());
            }
        }
    }
}
