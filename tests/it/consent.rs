//! Consent: whose data is used, and what becomes of campaigns that need it.

use serde_json::{Value, json};

use crate::consent_strings::{TcString, gpp, us};
use crate::make::{campaign, request, with};
use crate::server::Server;

const OURS: &str = "[privacy]\nvendor_id = 755\n";

/// A request of a user in a segment, with an id and a home, and nothing that forbids.
fn known(patch: Value) -> Value {
    let user =
        json!({"device": {"ifa": "u1"}, "user": {"data": [{"segment": [{"id": "s1"}]}], "geo": {"country": "DEU"}}});
    with(with(request(), user), patch)
}

fn personal() -> [Value; 3] {
    [
        with(campaign("a"), json!({"targeting": {"segments": {"any": ["s1"]}}})),
        with(campaign("a"), json!({"frequency_caps": [{"impressions": 1, "per_seconds": 3600}]})),
        with(campaign("a"), json!({"targeting": {"countries": {"include": ["DEU"]}}})),
    ]
}

/// Asserts that campaigns which need a segment, an id or a home bid for exactly the requests that allow it, and that
/// one which needs nothing bids for all.
fn check(config: &str, cases: &[(Value, bool)]) {
    let server = Server::start(config, &[campaign("a")]);
    for (patch, _) in cases {
        assert!(server.bid(&known(patch.clone())).is_some(), "{patch}");
    }
    for campaign in personal() {
        server.put(&campaign);
        // Twice: the second time a string is remembered.
        for (patch, want) in cases.iter().chain(cases) {
            assert_eq!(server.bid(&known(patch.clone())).is_some(), *want, "{campaign} {patch}");
        }
    }
    // A user who is not ours to know is no reason to show nothing: whom a segment excludes is not known either.
    server.put(&with(campaign("a"), json!({"targeting": {"segments": {"none": ["s1"]}}})));
    for (patch, want) in cases {
        assert_eq!(server.bid(&known(patch.clone())).is_some(), !*want, "{patch}");
    }
}

#[test]
fn consent_to_our_vendor_allows_what_needs_a_user() {
    let consent = TcString::consent(&[1, 755]);
    let refused = TcString { consents: vec![1, 2, 3], ..consent.clone() }.text();
    let restricted = TcString { restrictions: vec![(4, 0, vec![(700, 800)])], ..consent.clone() }.text();
    let (other, consent) = (TcString::consent(&[1, 2]).text(), consent.text());
    let under = |consent: &str| json!({"regs": {"gdpr": 1}, "user": {"consent": consent}});
    let old = |consent: &str| json!({"regs": {"ext": {"gdpr": 1}}, "user": {"ext": {"consent": consent}}});
    let in_gpp = |consent: &str| json!({"regs": {"gpp": gpp(&[(2, consent)]), "gpp_sid": [2]}});
    let in_old_gpp = |consent: &str| json!({"regs": {"ext": {"gpp": gpp(&[(2, consent)]), "gpp_sid": [2]}}});
    let mut cases = vec![
        (json!({}), true),
        (json!({"regs": {"gdpr": 0}}), true),
        (json!({"regs": {"gdpr": 1}}), false),
        (json!({"regs": {"ext": {"gdpr": 1}}}), false),
        (with(under(&consent), json!({"device": {"lmt": 1}})), false),
        (with(under(&consent), json!({"regs": {"coppa": 1}})), false),
    ];
    for (string, want) in [(&consent, true), (&other, false), (&refused, false), (&restricted, false)] {
        cases.extend([under(string), old(string), in_gpp(string), in_old_gpp(string)].map(|patch| (patch, want)));
    }
    check(OURS, &cases);
    // Without an entry in the vendor list nobody can have agreed to us.
    check("", &[(under(&consent), false), (in_gpp(&consent), false), (json!({"regs": {"gdpr": 0}}), true)]);
}

#[test]
fn an_opt_out_in_the_united_states_forbids_what_needs_a_user() {
    let (stays, sold) = (us(1, &[2; 30]), us(1, &[1; 30]));
    let sections = |text: &str| gpp(&[(7, text), (8, text)]);
    let controlled = sections(&format!("{stays}.YA"));
    let regs = |regs: Value| json!({"regs": regs});
    let ext = |regs: Value| json!({"regs": {"ext": regs}});
    let mut cases =
        vec![(ext(json!({"gpc": 1})), false), (ext(json!({"gpc": "1"})), false), (ext(json!({"gpc": 0})), true)];
    for (fields, want) in [
        (json!({"us_privacy": "1YNN"}), true),
        (json!({"us_privacy": "1YYN"}), false),
        (json!({"gpp": sections(&stays), "gpp_sid": [7]}), true),
        (json!({"gpp": sections(&stays), "gpp_sid": [7, 8]}), true),
        (json!({"gpp": sections(&stays), "gpp_sid": [9]}), false),
        (json!({"gpp": sections(&sold), "gpp_sid": [8]}), false),
        (json!({"gpp": sections(&sold), "gpp_sid": [-1]}), true),
        (json!({"gpp": sections(&sold)}), false),
        (json!({"gpp": controlled, "gpp_sid": [7]}), false),
        (json!({"gpp": "DBABTA~1YYN", "gpp_sid": [6]}), false),
        (json!({"gpp": "?", "gpp_sid": [7]}), false),
    ] {
        cases.push((regs(fields.clone()), want));
        cases.push((ext(fields), want));
    }
    check(OURS, &cases);
}

#[test]
fn a_legitimate_interest_counts_where_it_is_registered() {
    let interest =
        TcString { consents: vec![1, 4], interests: vec![2], vendor_interests: vec![755], ..TcString::consent(&[755]) };
    let required = TcString { restrictions: vec![(2, 1, vec![(755, 755)])], ..interest.clone() };
    let under = |string: &TcString| json!({"regs": {"gdpr": 1}, "user": {"consent": string.text()}});
    check(OURS, &[(under(&interest), false)]);
    let registered = format!("{OURS}purpose_2 = [\"legitimate_interest\"]\n");
    check(&registered, &[(under(&interest), true), (under(&required), false)]);
}

/// Nobody is counted who did not agree: a bid for a user who is not ours to know counts for no cap.
#[test]
fn impressions_of_a_user_who_did_not_agree_are_not_counted() {
    let config = format!("{OURS}[frequency]\nmax_bytes = 1048576\nbid_for_unknown = true\n");
    let server = Server::start(&config, &[personal()[1].clone()]);
    let refused = json!({"regs": {"gdpr": 1}, "user": {"consent": TcString::consent(&[1]).text()}});
    for _ in 0..2 {
        let bid = server.bid(&known(refused.clone())).unwrap();
        server.bill(&bid, "2.00");
    }
    let bid = server.bid(&known(json!({}))).expect("what nobody agreed to was counted");
    server.bill(&bid, "2.00");
    assert!(server.bid(&known(json!({}))).is_none(), "the cap of one does not hold");
}
