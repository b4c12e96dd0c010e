//! Consent strings, published ones and such as are written here, and the verdicts on requests that carry them.

use proptest::prelude::*;

use super::bits::Bits;
use super::*;
use crate::openrtb::parse;
use strings::{TcString, gpp, us};

#[path = "../../../tests/it/consent_strings.rs"]
mod strings;

const OURS: u16 = 755;
const VENDOR: Vendor = Vendor { id: OURS, purpose_2: Bases::CONSENT };
const INTEREST: Bases = Bases { default: Basis::LegitimateInterest, flexible: false };

fn permits(text: &str, vendor: &Vendor) -> bool {
    Sections::decode(text, Some(vendor)).permit_tcf()
}

/// Whether all sections of a GPP string permit.
fn all_permit(text: &str) -> bool {
    Sections::decode(text, Some(&VENDOR)).permit(Named::All)
}

/// From the tests of the IAB's own library: a string that a consent manager wrote, of a user who agreed to everything.
const PUBLISHED: &str = "CPi8wgAPi8wgAAOACBENCuCoAP_AAEfAACiQJHNd_H__bX9n-f7_6ft0eY1f9_r37uQzDhfNk-8F3L_W_LwX_2E7NF36tq4KmR4ku1LBIUNtHMnUDUmxaokVrzHsak2cpzNKJ_BkknsZe2dYGF9vm5tj-QKZ7_5_d3f52T_9_9v-39z33913v3d93-_13LjdV5_9H_v9fR_b8_Kf9_5-_4v8_____3_e______8AEEggCTDVuIAuxLHAm0DCKBECMKwkKoFABBQDC0QGADg4KdlYBPrCBAAgFAEYEQIcAUYEAgAAAgCQiACQIsEAAAIgEAAIAEQiEABAwCCgAsDAIAAQDQMUQoABAkIMiAiKUwICIEggJbKhBKC6Q0wgCrLACgkRsFAAiAAAUgACAsHAMESAlYsECTFG-QAjBCgFEqFaAGGgAwABBI4RABgACCRwqADAAEEjgA";

#[test]
fn a_published_string_permits_the_vendors_that_it_is_said_to() {
    let count = |purpose_2| (0..=u16::MAX).filter(|&id| permits(PUBLISHED, &Vendor { id, purpose_2 })).count();
    // It is published with what it holds: 772 vendors with consent, 280 with legitimate interest.
    assert_eq!(count(Bases::CONSENT), 772);
    let with_interest = count(INTEREST);
    assert!((1..=280).contains(&with_interest), "{with_interest}");
    // Cut anywhere it permits nobody, but for zeros that only fill the last character.
    for end in 0..PUBLISHED.len() {
        let read = Sections::decode(&PUBLISHED[..end], Some(&VENDOR));
        assert!(!read.permit_tcf() || PUBLISHED[end..].bytes().all(|b| b == b'A'), "{end}");
    }
}

#[test]
fn other_published_strings_are_read_and_permit_nothing() {
    // Consent to three purposes, three vendors, one restriction, global; the same with vendors disclosed and with a
    // publisher's segment; nothing at all.
    for text in [
        "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA",
        "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw",
        "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA.ZAAgH9794ulA",
        "CPSG_8APSG_8AAAAAAENAACgAAAAAAAAAAAAAAAAAAAA.YAAAAAAAAAAA",
        "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",
    ] {
        for id in [1, 2, 6, 8, OURS] {
            assert_eq!(tcf::permits(text, &Vendor { id, ..VENDOR }), Some(false), "{text} {id}");
        }
    }
    // Version 1 of the framework, other versions, other things.
    for text in ["", "C", "D", ".", "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA", "CP", "C P", "\u{e9}", "1YNN", "null"] {
        assert!(!permits(text, &VENDOR), "{text}");
    }
}

#[test]
fn what_a_vendor_needs() {
    let all = TcString::consent(&[3, OURS]);
    let consents = |consents: &[u32]| TcString { consents: consents.to_vec(), ..all.clone() };
    let restricted = |purpose, restriction, ranges: &[(u16, u16)]| TcString {
        restrictions: vec![(9, 0, vec![(1, 900)]), (purpose, restriction, ranges.to_vec())],
        ..all.clone()
    };
    for (string, want) in [
        (all.clone(), true),
        (TcString { ranges: true, ..all.clone() }, true),
        (TcString::consent(&[]), false),
        (TcString::consent(&[OURS - 1, OURS + 1]), false),
        (TcString { ranges: true, ..TcString::consent(&[OURS - 1, OURS + 1]) }, false),
        (TcString { version: 3, ..all.clone() }, false),
        (TcString { is_service_specific: false, ..all.clone() }, false),
        (consents(&[1, 2, 4]), true),
        (consents(&[2, 3, 4, 5, 6, 7, 8, 9, 10]), false),
        (consents(&[1, 3, 4, 5, 6, 7, 8, 9, 10]), false),
        (consents(&[1, 2, 3, 5, 6, 7, 8, 9, 10]), false),
        // Legitimate interest is no basis for purposes 1 and 4, nor for 2 where it is not registered.
        (TcString { interests: (1..=10).collect(), vendor_interests: vec![OURS], ..consents(&[]) }, false),
        (TcString { interests: vec![2], vendor_interests: vec![OURS], ..consents(&[1, 4]) }, false),
        (restricted(3, 0, &[(OURS, OURS)]), true),
        (restricted(1, 0, &[(OURS, OURS)]), false),
        (restricted(2, 0, &[(700, 800)]), false),
        (restricted(4, 0, &[(1, 2), (OURS, OURS)]), false),
        (restricted(4, 0, &[(1, OURS - 1), (OURS + 1, u16::MAX)]), true),
        // To require what we have is no restriction.
        (restricted(2, 1, &[(OURS, OURS)]), true),
        (restricted(4, 1, &[(OURS, OURS)]), true),
        (restricted(2, 2, &[(OURS, OURS)]), false),
        (restricted(4, 2, &[(OURS, OURS)]), false),
        (restricted(2, 3, &[(OURS, OURS)]), false),
        (TcString { disclosed: Some(vec![1, OURS]), ..all.clone() }, true),
        (TcString { disclosed: Some(vec![1, OURS]), ranges: true, ..all.clone() }, true),
        (TcString { disclosed: Some(vec![1, 2]), ..all.clone() }, false),
        (TcString { disclosed: Some(vec![]), ..all.clone() }, false),
    ] {
        assert_eq!(permits(&string.text(), &VENDOR), want, "{string:?}");
    }
    // Segments that are not for vendors are passed over; one that cannot be read spoils the string.
    let text = all.text();
    for (segment, want) in [(".YAAAAAAAAAAA", true), (".QAAA", true), (".", false), (".I", false), (".=", false)] {
        assert_eq!(permits(&format!("{text}{segment}"), &VENDOR), want, "{segment}");
    }
}

#[test]
fn legitimate_interest_counts_where_it_is_registered_and_the_publisher_agrees() {
    let flexible = |default| Bases { default, flexible: true };
    let string = |consent: bool, interest: bool, restriction: Option<u32>| {
        TcString {
            consents: if consent { vec![1, 2, 4] } else { vec![1, 4] },
            interests: if interest { vec![2] } else { vec![] },
            vendor_interests: vec![OURS],
            restrictions: restriction.map(|r| (2, r, vec![(OURS, OURS)])).into_iter().collect(),
            ..TcString::consent(&[OURS])
        }
        .text()
    };
    for (purpose_2, restriction, needs) in [
        (Bases::CONSENT, None, Some(Basis::Consent)),
        (Bases::CONSENT, Some(1), Some(Basis::Consent)),
        (Bases::CONSENT, Some(2), None),
        (INTEREST, None, Some(Basis::LegitimateInterest)),
        (INTEREST, Some(1), None),
        (INTEREST, Some(2), Some(Basis::LegitimateInterest)),
        (INTEREST, Some(0), None),
        (flexible(Basis::Consent), None, Some(Basis::Consent)),
        (flexible(Basis::Consent), Some(1), Some(Basis::Consent)),
        (flexible(Basis::Consent), Some(2), Some(Basis::LegitimateInterest)),
        (flexible(Basis::LegitimateInterest), None, Some(Basis::LegitimateInterest)),
        (flexible(Basis::LegitimateInterest), Some(1), Some(Basis::Consent)),
        (flexible(Basis::LegitimateInterest), Some(2), Some(Basis::LegitimateInterest)),
        (flexible(Basis::LegitimateInterest), Some(0), None),
    ] {
        for (consent, interest) in [(false, false), (true, false), (false, true), (true, true)] {
            let want = match needs {
                Some(Basis::Consent) => consent,
                Some(Basis::LegitimateInterest) => interest,
                None => false,
            };
            let text = string(consent, interest, restriction);
            let case = format!("{purpose_2:?} {restriction:?} consent {consent} interest {interest}");
            assert_eq!(permits(&text, &Vendor { id: OURS, purpose_2 }), want, "{case}");
        }
    }
    // Both at once cannot be kept.
    let both = TcString {
        interests: vec![2],
        vendor_interests: vec![OURS],
        restrictions: vec![(2, 1, vec![(OURS, OURS)]), (2, 2, vec![(OURS, OURS)])],
        ..TcString::consent(&[OURS])
    };
    assert!(!permits(&both.text(), &Vendor { id: OURS, purpose_2: flexible(Basis::Consent) }));
}

/// From the IAB's library and its specifications: the section with all opt-outs and with none, both with and without
/// the segment of Global Privacy Control.
#[test]
fn published_sections_of_the_united_states() {
    for (id, opted_out, none) in [
        (7, "BVVVkkkkkpFY", "BAAAAAAAAABA"),
        (7, "BVVVVVVVVWA", "BAAAAAAAAQA"),
        (7, "BVVVVVVVVWA", "CAAAAAAAAAWA"),
        (7, "BVVVVVVVVWA", "BVQqAAAACg"),
        (8, "BVWSSSVY", "BAAAAABA"),
        (8, "BVVVVVVY", "BAAAAACA"),
        (9, "BVWSSVY", "BAAAABA"),
        (10, "BVWSSVg", "BAAAAEA"),
        (11, "BVVkklW", "BAAAAAQ"),
        (12, "BVWSSZFg", "BAAAAAEA"),
        (13, "BVWSSZlY", "BAAAAABA"),
        (14, "BVWSSZFY", "BAAAAABA"),
        (15, "BVWSSRpFYA", "BAAAAAABAA"),
        (16, "BVWSSVW", "BAAAAAQ"),
        (17, "BVWSSSSVY", "BAAAAAABA"),
        (18, "BVVkklW", "BAAAAAQ"),
        (19, "BVWSSVW", "BAAAAAQ"),
        (20, "BVWSSZFY", "BAAAAABA"),
        (21, "BVWSSRklWA", "BAAAAAAAQA"),
        (22, "BVWSSVWA", "BAAAAAQA"),
        (23, "BVWSSVW", "BAAAAAQ"),
    ] {
        let section = |text: &str| all_permit(&gpp(&[(id, text)]));
        assert!(!section(opted_out), "{id} {opted_out}");
        for (gpc, want) in [("", true), (".Q", true), (".QA", true), (".Y", false), (".YA", false), (".", false)] {
            assert_eq!(section(&format!("{none}{gpc}")), want, "{id} {none}{gpc}");
        }
        // Cut, garbage, a version that is not known.
        for text in ["", "B", "BA", "z", "=", "AAAAAAAAAAAA", "EAAAAAAAAAAA"] {
            assert!(!section(text), "{id} {text}");
        }
    }
}

#[test]
fn each_opt_out_forbids_and_nothing_else_does() {
    // The fields that are opt-outs, of some thirty.
    let opt_outs = |id: u32| match id {
        7 => 6..9,
        11 | 18 => 4..6,
        _ => 3..5,
    };
    for id in 7..=23 {
        for field in 0..30 {
            for value in 0..4 {
                let mut fields = [2; 30];
                fields[field] = value;
                let text = gpp(&[(id, &us(1, &fields))]);
                let forbids = opt_outs(id).contains(&field) && (value == 1 || value == 3);
                assert_eq!(all_permit(&text), !forbids, "section {id}, field {field}, value {value}");
            }
        }
    }
    // Not understood: it may say anything.
    for id in [1, 3, 4, 5, 24, 25, 26, 27, 28, 62, 63, 64, 1_000] {
        assert!(!all_permit(&gpp(&[(id, &us(1, &[0; 30]))])), "{id}");
    }
}

#[test]
fn headers_say_which_section_is_which() {
    let tc = TcString::consent(&[OURS]).text();
    let yes = us(1, &[0; 30]);
    // The specification's own headers: 2; 2 and 6; 5 and 6 as a range.
    assert_eq!(gpp(&[(2, "x")]), "DBABM~x");
    assert_eq!(gpp(&[(2, "x"), (6, "y")]), "DBACNY~x~y");
    assert!(all_permit(&format!("DBABM~{tc}")));
    assert!(all_permit(&format!("DBACNY~{tc}~1YNN")));
    assert!(!all_permit(&format!("DBACNY~{tc}~1YYN")));
    assert!(!all_permit(&format!("DBACNY~1YNN~{tc}")));
    let canada = Sections::decode(&format!("DBABjw~{yes}~1YNN"), Some(&VENDOR));
    let named = |json: &str| {
        let body = format!(r#"{{"id":"r","imp":[{{"id":"1"}}],"regs":{{"gpp_sid":{json}}}}}"#);
        Named::of(parse(body.as_bytes()).unwrap().regs.gpp_sid)
    };
    assert!(!canada.permit(named("[5]")) && canada.permit(named("[6]")) && !canada.permit(named("[5,6]")));
    assert!(canada.permit(named("[-1]")) && !canada.permit(named("[]")) && !canada.permit(named("[0]")));
    // One that the string does not have.
    assert!(!canada.permit(named("[7]")) && !canada.permit(named("[6,63]")) && !canada.permit(named("[6,9999999999]")));
    assert!(canada.permit(named("[6,0,-1]")));
    assert!(!canada.permit(named(&format!("[6{}]", ",6".repeat(64)))));
    // More sections than texts, fewer, none; other types and versions.
    for text in ["DBABTA", "DBABTA~1YNN~1YNN", "DBAC", "DAABTA~1YNN", "CBABTA~1YNN", "DB", "DBABTA~"] {
        assert!(!all_permit(text), "{text}");
    }
    assert!(all_permit("DBABTA~1YNN") && all_permit("DBAA"));
    // A range that has no end: sections that nobody sent.
    let mut endless = strings::Writer::default();
    endless.put(3, 6).put(1, 6).put(4_095, 12);
    for _ in 0..100 {
        endless.put(1, 1).fibonacci(28_000).fibonacci(28_000);
    }
    assert!(!all_permit(&format!("{}{}", endless.text(), "~x".repeat(100))));
}

#[test]
fn signals_forbid_user_data() {
    let consent = TcString::consent(&[OURS]).text();
    let refused = TcString::consent(&[1]).text();
    let (opted_in, opted_out) = (us(1, &[2; 20]), us(1, &[1; 20]));
    let both = gpp(&[(2, &consent), (7, &opted_in)]);
    let out = gpp(&[(2, &consent), (7, &opted_out)]);
    let no_tcf = gpp(&[(2, &refused), (7, &opted_in)]);
    let verdict = |extra: &str, vendor: Option<&Vendor>| {
        let comma = if extra.is_empty() { "" } else { "," };
        let body = format!(r#"{{"id":"r","imp":[{{"id":"1"}}]{comma}{extra}}}"#);
        let request = parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"));
        let verdict = Privacy::of(&request, vendor, &mut Cache::default());
        assert_eq!(verdict.personal, verdict.because.is_none());
        verdict.because
    };
    for (extra, because) in [
        (String::new(), None),
        (r#""regs":[],"user":[],"device":[ ],"ext":[]"#.into(), None),
        (r#""regs":{"coppa":1}"#.into(), Some(Signal::Coppa)),
        (r#""device":{"lmt":1}"#.into(), Some(Signal::Lmt)),
        (r#""device":{"dnt":1}"#.into(), Some(Signal::Dnt)),
        (r#""device":{"dnt":0,"lmt":0}"#.into(), None),
        (r#""regs":{"ext":{"gpc":"1"}}"#.into(), Some(Signal::Gpc)),
        (r#""regs":{"ext":{"gpc":0}}"#.into(), None),
        (r#""regs":{"coppa":0,"gdpr":0,"us_privacy":"1YNN"}"#.into(), None),
        (r#""regs":{"us_privacy":"1YYN"}"#.into(), Some(Signal::UsPrivacy)),
        (r#""regs":{"us_privacy":"1yyn"}"#.into(), Some(Signal::UsPrivacy)),
        (r#""regs":{"us_privacy":"1---"}"#.into(), None),
        (r#""regs":{"us_privacy":""}"#.into(), None),
        (r#""regs":{"us_privacy":"1Y?N"}"#.into(), Some(Signal::UsPrivacy)),
        (r#""regs":{"us_privacy":"?"}"#.into(), Some(Signal::UsPrivacy)),
        (r#""regs":{"gdpr":1}"#.into(), Some(Signal::Gdpr)),
        (r#""regs":{"gdpr":1},"user":{"consent":""}"#.into(), Some(Signal::Gdpr)),
        (format!(r#""regs":{{"gdpr":1}},"user":{{"consent":"{consent}"}}"#), None),
        (format!(r#""regs":{{"gdpr":1}},"user":{{"consent":"{refused}"}}"#), Some(Signal::Gdpr)),
        (format!(r#""regs":{{"gdpr":1}},"user":{{"consent":"={consent}"}}"#), Some(Signal::Gdpr)),
        (r#""regs":{"gdpr":1},"user":{"consent":"CPXxRfA"}"#.into(), Some(Signal::Gdpr)),
        // Where GDPR does not apply nobody's consent to it matters; where that is not said, a string is heard.
        (format!(r#""regs":{{"gdpr":0}},"user":{{"consent":"{refused}"}}"#), None),
        (format!(r#""user":{{"consent":"{refused}"}}"#), Some(Signal::Gdpr)),
        (format!(r#""user":{{"consent":"{consent}"}}"#), None),
        // GPP: the sections in force, all where none is named, and consent under GDPR from there.
        (format!(r#""regs":{{"gpp":"{both}","gpp_sid":[2]}}"#), None),
        (format!(r#""regs":{{"gpp":"{both}","gpp_sid":[7]}}"#), None),
        (format!(r#""regs":{{"gpp":"{both}","gpp_sid":[8]}}"#), Some(Signal::Gpp)),
        (format!(r#""regs":{{"gpp":"{both}"}}"#), None),
        (format!(r#""regs":{{"gpp":"{both}","gdpr":1}}"#), None),
        (format!(r#""regs":{{"gpp":"{both}","gdpr":1}},"user":{{"consent":"{refused}"}}"#), Some(Signal::Gdpr)),
        (format!(r#""regs":{{"gpp":"{out}","gpp_sid":[2]}}"#), None),
        (format!(r#""regs":{{"gpp":"{out}","gpp_sid":[7]}}"#), Some(Signal::Gpp)),
        (format!(r#""regs":{{"gpp":"{out}"}}"#), Some(Signal::Gpp)),
        (format!(r#""regs":{{"gpp":"{out}","gpp_sid":[-1]}}"#), None),
        (format!(r#""regs":{{"gpp":"{out}","gpp_sid":[-1],"gdpr":1}}"#), Some(Signal::Gdpr)),
        (format!(r#""regs":{{"gpp":"{no_tcf}","gpp_sid":[2]}}"#), Some(Signal::Gpp)),
        (format!(r#""regs":{{"gpp":"{no_tcf}","gpp_sid":[7]}}"#), None),
        (format!(r#""regs":{{"gpp":"{no_tcf}","gpp_sid":[7],"gdpr":1}}"#), Some(Signal::Gdpr)),
        (format!(r#""regs":{{"gpp":"{no_tcf}","gpp_sid":[7],"gdpr":1}},"user":{{"consent":"{consent}"}}"#), None),
        (r#""regs":{"gpp_sid":[7]}"#.into(), Some(Signal::Gpp)),
        (r#""regs":{"gpp":"","gpp_sid":[2]}"#.into(), Some(Signal::Gpp)),
        (r#""regs":{"gpp":"nonsense"}"#.into(), Some(Signal::Gpp)),
        (r#""regs":{"gpp":"DBABTA~1YNN","gpp_sid":[6]}"#.into(), None),
        (r#""regs":{"gpp":"DBABTA~1YYN","gpp_sid":[6]}"#.into(), Some(Signal::Gpp)),
    ] {
        assert_eq!(verdict(&extra, Some(&VENDOR)), because, "{extra}");
        // OpenRTB 2.5 has the same in `ext`.
        let old = old_places(&extra);
        assert_eq!(verdict(&old, Some(&VENDOR)), because, "{old}");
    }
    // Without an entry in the vendor list consent is not for us.
    for extra in [
        format!(r#""regs":{{"gdpr":1}},"user":{{"consent":"{consent}"}}"#),
        format!(r#""user":{{"consent":"{consent}"}}"#),
        format!(r#""regs":{{"gpp":"{both}","gpp_sid":[7],"gdpr":1}}"#),
    ] {
        assert_eq!(verdict(&extra, None), Some(Signal::Gdpr), "{extra}");
    }
    assert_eq!(verdict(&format!(r#""regs":{{"gpp":"{both}","gpp_sid":[2]}}"#), None), Some(Signal::Gpp));
    assert_eq!(verdict(&format!(r#""regs":{{"gpp":"{both}","gpp_sid":[7]}}"#), None), None);
}

/// The same fields where OpenRTB 2.5 has them.
fn old_places(extra: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(&format!("{{{extra}}}")).unwrap();
    for (object, names) in [("regs", &["gdpr", "us_privacy", "gpp", "gpp_sid"][..]), ("user", &["consent"])] {
        for name in names {
            if let Some(found) = value[object].as_object_mut().and_then(|o| o.remove(*name)) {
                value[object]["ext"][name] = found;
            }
        }
    }
    let text = value.to_string();
    text[1..text.len() - 1].to_owned()
}

#[test]
fn a_cache_says_what_decoding_says_and_is_bounded() {
    let mut cache = Cache::default();
    let other = Vendor { id: 1, ..VENDOR };
    let strings: Vec<String> = (0..5_000u16)
        .map(|i| match i % 3 {
            0 => TcString::consent(&[i, OURS]).text(),
            1 => gpp(&[(2, &TcString::consent(&[i]).text()), (7, &us(1, &[i as u64 % 3; 20]))]),
            _ => format!("{i}{}", "x".repeat(usize::from(i))),
        })
        .collect();
    for _ in 0..2 {
        for text in &strings {
            for vendor in [Some(&VENDOR), Some(&other), None] {
                for _ in 0..2 {
                    assert_eq!(cache.sections(text, vendor), Sections::decode(text, vendor), "{text}");
                }
            }
        }
    }
    assert!(cache.text_bytes() <= 2 << 20, "{}", cache.text_bytes());
    // Too long to be meant.
    let long = format!("{}.{}", TcString::consent(&[OURS]).text(), "Y".repeat(MAX_TEXT));
    assert!(!cache.sections(&long, Some(&VENDOR)).permit_tcf());
    assert!(cache.sections(&long[..MAX_TEXT], Some(&VENDOR)).permit_tcf());
}

fn any_tc_string() -> impl Strategy<Value = TcString> {
    let purposes = || prop::collection::vec(1u32..=24, 0..12);
    let vendors = || prop::collection::vec(prop_oneof![1u16..900, Just(OURS)], 0..6);
    let ranges = prop::collection::vec((1u16..1_000).prop_flat_map(|a| (Just(a), a..1_000)), 0..4);
    let restrictions = prop::collection::vec((1u32..=24, 0u32..4, ranges), 0..4);
    let flags = (prop::bool::weighted(0.9), any::<bool>());
    let vendors = (vendors(), vendors(), prop::option::weighted(0.2, vendors()));
    (purposes(), purposes(), vendors, restrictions, flags).prop_map(
        |(consents, interests, (vendor_consents, vendor_interests, disclosed), restrictions, flags)| TcString {
            version: 2,
            is_service_specific: flags.0,
            consents,
            interests,
            vendor_consents,
            vendor_interests,
            ranges: flags.1,
            restrictions,
            disclosed,
        },
    )
}

/// What the fields say, with none of the bits.
fn model(string: &TcString, vendor: &Vendor) -> bool {
    let may = |purpose: u32, bases: Bases| {
        let hits = |ranges: &[(u16, u16)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&vendor.id));
        let here = |kind| string.restrictions.iter().any(|(p, k, ranges)| *p == purpose && *k == kind && hits(ranges));
        let is_registered = |basis| bases.flexible || bases.default == basis;
        let basis = match (here(1), here(2)) {
            _ if here(0) || here(3) => return false,
            (true, true) => return false,
            (true, false) => Basis::Consent,
            (false, true) => Basis::LegitimateInterest,
            (false, false) => bases.default,
        };
        is_registered(basis)
            && match basis {
                Basis::Consent => string.consents.contains(&purpose) && string.vendor_consents.contains(&vendor.id),
                Basis::LegitimateInterest => {
                    string.interests.contains(&purpose) && string.vendor_interests.contains(&vendor.id)
                }
            }
    };
    string.is_service_specific
        && string.disclosed.as_ref().is_none_or(|disclosed| disclosed.contains(&vendor.id))
        && may(1, Bases::CONSENT)
        && may(2, vendor.purpose_2)
        && may(4, Bases::CONSENT)
}

proptest! {
    #[test]
    fn a_string_is_read_as_it_was_meant(string in any_tc_string(), flexible: bool, by_consent: bool, cut in 0usize..400) {
        let default = if by_consent { Basis::Consent } else { Basis::LegitimateInterest };
        let vendor = Vendor { id: OURS, purpose_2: Bases { default, flexible } };
        // Mostly one that is complete in what the random choice made unlikely.
        let string = TcString { consents: [string.consents.clone(), vec![1, 4]].concat(), ..string };
        let text = string.text();
        prop_assert_eq!(tcf::permits(&text, &vendor), Some(model(&string, &vendor)));
        prop_assert_eq!(permits(&gpp(&[(2, &text)]), &vendor), model(&string, &vendor));
        let _ = tcf::permits(&text[..cut.min(text.len())], &vendor);
    }

    #[test]
    fn any_text_is_judged(text in "\\PC{0,200}|[A-Za-z0-9_.~-]{0,400}|[CD][AB-]{0,60}[~.]?[A-D]{0,60}", id: u16) {
        let vendor = Vendor { id, ..VENDOR };
        let read = Sections::decode(&text, Some(&vendor));
        // Who is nobody has no consent.
        prop_assert!(!Sections::decode(&text, None).permit_tcf());
        prop_assert!(id != 0 || !read.permit_tcf());
    }

    #[test]
    fn numbers_are_read_as_they_were_written(numbers in prop::collection::vec((any::<u32>(), 0u32..=32), 0..40)) {
        let mut w = strings::Writer::default();
        let cut = |(value, count): (u32, u32)| u64::from(value) & ((1 << count) - 1);
        for n in &numbers {
            w.put(cut(*n), n.1);
        }
        let text = w.text();
        let mut bits = Bits::new(&text);
        for n in &numbers {
            prop_assert_eq!(bits.take(n.1 as usize).map(u64::from), Some(cut(*n)));
        }
    }

    #[test]
    fn fibonacci_numbers_are_read_as_they_were_written(numbers in prop::collection::vec(1u32..28_657, 1..40)) {
        let mut w = strings::Writer::default();
        for n in &numbers {
            w.fibonacci(*n);
        }
        let text = w.text();
        let mut bits = Bits::new(&text);
        for n in &numbers {
            prop_assert_eq!(bits.fibonacci(), Some(*n));
        }
    }
}
