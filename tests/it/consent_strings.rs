//! Writes the consent strings of the IAB, bit by bit as their specifications say. Nothing here is shared with the code
//! that reads them.

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[derive(Default)]
pub struct Writer {
    bits: Vec<bool>,
}

impl Writer {
    pub fn put(&mut self, value: u64, count: u32) -> &mut Writer {
        assert!(count == 64 || value >> count == 0, "{value} has more than {count} bits");
        self.bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    /// The largest Fibonacci numbers that add up to it, from the smallest on, and a last one.
    pub fn fibonacci(&mut self, mut number: u32) -> &mut Writer {
        assert!(number > 0);
        let mut worths = vec![1u32, 2];
        while worths[worths.len() - 1] <= number {
            worths.push(worths[worths.len() - 1] + worths[worths.len() - 2]);
        }
        let mut code: Vec<bool> = worths
            .iter()
            .rev()
            .map(|worth| {
                number >= *worth && {
                    number -= worth;
                    true
                }
            })
            .collect();
        code.reverse();
        let end = code.iter().rposition(|set| *set).unwrap();
        self.bits.extend_from_slice(&code[..=end]);
        self.bits.push(true);
        self
    }

    /// Six bits to a character, zeros behind the last.
    pub fn text(&self) -> String {
        let six = |bits: &[bool]| (0..6).fold(0, |value, i| value << 1 | usize::from(bits.get(i) == Some(&true)));
        self.bits.chunks(6).map(|bits| char::from(ALPHABET[six(bits)])).collect()
    }
}

/// Vendors from and to.
pub type Ranges = Vec<(u16, u16)>;

/// A TC string of version 2.
#[derive(Clone, Debug)]
pub struct TcString {
    pub version: u32,
    pub is_service_specific: bool,
    pub consents: Vec<u32>,
    pub interests: Vec<u32>,
    pub vendor_consents: Vec<u16>,
    pub vendor_interests: Vec<u16>,
    /// The vendors as ranges instead of one bit for each.
    pub ranges: bool,
    /// Purpose, RestrictionType, and whom it is about.
    pub restrictions: Vec<(u32, u32, Ranges)>,
    /// The segment of vendors that were shown.
    pub disclosed: Option<Vec<u16>>,
}

impl TcString {
    /// Consent to all ten purposes and to these vendors, nothing else.
    pub fn consent(vendors: &[u16]) -> TcString {
        TcString {
            version: 2,
            is_service_specific: true,
            consents: (1..=10).collect(),
            interests: Vec::new(),
            vendor_consents: vendors.to_vec(),
            vendor_interests: Vec::new(),
            ranges: false,
            restrictions: Vec::new(),
            disclosed: None,
        }
    }

    pub fn text(&self) -> String {
        let mut w = Writer::default();
        // Created and LastUpdated in tenths of a second, CmpId, CmpVersion, ConsentScreen, ConsentLanguage "EN",
        // VendorListVersion, TcfPolicyVersion.
        w.put(self.version.into(), 6).put(17_000_000_000, 36).put(17_000_000_000, 36).put(31, 12).put(1, 12).put(1, 6);
        w.put(4, 6).put(13, 6).put(200, 12).put(4, 6);
        // IsServiceSpecific, UseNonStandardTexts, SpecialFeatureOptIns.
        w.put(self.is_service_specific.into(), 1).put(0, 1).put(0, 12);
        let purposes = |list: &[u32]| list.iter().fold(0, |bits, purpose| bits | 1u64 << (24 - purpose));
        w.put(purposes(&self.consents), 24).put(purposes(&self.interests), 24);
        // PurposeOneTreatment, PublisherCC "DE".
        w.put(0, 1).put(3, 6).put(4, 6);
        vendors(&mut w, &self.vendor_consents, self.ranges);
        vendors(&mut w, &self.vendor_interests, self.ranges);
        w.put(self.restrictions.len() as u64, 12);
        for (purpose, restriction, ranges) in &self.restrictions {
            w.put((*purpose).into(), 6).put((*restriction).into(), 2);
            put_ranges(&mut w, ranges);
        }
        let mut text = w.text();
        if let Some(disclosed) = &self.disclosed {
            let mut w = Writer::default();
            w.put(1, 3);
            vendors(&mut w, disclosed, self.ranges);
            text = format!("{text}.{}", w.text());
        }
        text
    }
}

/// MaxVendorId, IsRangeEncoding, and the vendors.
fn vendors(w: &mut Writer, ids: &[u16], ranges: bool) {
    let largest = ids.iter().copied().max().unwrap_or(0);
    w.put(largest.into(), 16).put(ranges.into(), 1);
    if ranges {
        put_ranges(w, &ids.iter().map(|id| (*id, *id)).collect::<Vec<_>>());
    } else {
        for id in 1..=largest {
            w.put(ids.contains(&id).into(), 1);
        }
    }
}

/// NumEntries, and of each IsARange, StartOrOnlyVendorId and EndVendorId.
fn put_ranges(w: &mut Writer, ranges: &[(u16, u16)]) {
    w.put(ranges.len() as u64, 12);
    for (first, last) in ranges {
        w.put((first != last).into(), 1).put((*first).into(), 16);
        if first != last {
            w.put((*last).into(), 16);
        }
    }
}

/// A GPP string of sections in order of their ids.
pub fn gpp(sections: &[(u32, &str)]) -> String {
    let mut w = Writer::default();
    w.put(3, 6).put(1, 6).put(sections.len() as u64, 12);
    let mut last = 0;
    for (id, _) in sections {
        w.put(0, 1).fibonacci(id - last);
        last = *id;
    }
    let texts = sections.iter().map(|(_, text)| format!("~{text}"));
    w.text() + &texts.collect::<String>()
}

/// A section of the United States: the version and fields of two bits.
pub fn us(version: u64, fields: &[u64]) -> String {
    let mut w = Writer::default();
    w.put(version, 6);
    for field in fields {
        w.put(*field, 2);
    }
    w.text()
}
