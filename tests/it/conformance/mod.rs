//! What an exchange checks before it sends traffic: 51 lines, each a black-box test over a real socket.
//!
//! Each line is in [`LINES`]: a number, a name, what it says, what it needs, and its check. The check gets a
//! [`Target`] and nothing else. Without `GAVEL_TARGET` that is a server of its own; with
//! `GAVEL_TARGET=http://host:port` it is that one, and lines that need campaigns of their own put them by
//! `GAVEL_ADMIN=http://host:port` (`GAVEL_ADMIN_TOKEN`) if that is given, and are skipped, saying so, if not. What
//! depends on a server's configuration is only checked on a server of its own.
//!
//! No line holds on a server that answers 204 to everything: `meta` runs the whole table against one.

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

mod answers;
mod bodies;
mod deadlines;
mod deals;
mod encodings;
mod formats;
mod limits;
mod meta;
mod notices;
mod odd;
mod outcomes;
mod people;
mod spots;
mod target;

use std::panic::{AssertUnwindSafe, catch_unwind};

use target::{Given, Target};

/// Why a line does not hold.
pub type Check = Result<(), String>;

/// What a line needs of a server beyond its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Campaigns that bid for a banner of 300x250 on any site, as the demo's do.
    Demo,
    /// Campaigns of its own, put by REST.
    Campaigns,
    /// A configuration of its own.
    Config,
}

pub struct Line {
    pub number: u8,
    pub name: &'static str,
    pub what: &'static str,
    pub needs: Needs,
    /// Of a server of its own.
    pub config: &'static str,
    pub check: fn(&Target) -> Check,
}

/// Runs one line; panics when it does not hold.
fn run(number: u8) {
    let line = LINES.iter().find(|line| line.number == number).expect("a line of the table");
    let head = format!("line {number:02}, {}", line.what);
    let given = Given::from_env();
    let target = match Target::of(line, given.as_ref()) {
        Ok(target) => target,
        Err(why) => return println!("{head}: skipped: {why}"),
    };
    let held = catch_unwind(AssertUnwindSafe(|| (line.check)(&target))).unwrap_or_else(|_| Err("panicked".to_owned()));
    match held {
        Ok(()) => println!("{head}: holds"),
        Err(why) => panic!("{head}: {why}"),
    }
}

/// The table, and a test for each of its lines.
macro_rules! lines {
    ($($number:literal $name:ident $check:path, $needs:ident, $config:expr, $what:literal;)*) => {
        pub const LINES: &[Line] = &[$(Line {
            number: $number,
            name: stringify!($name),
            what: $what,
            needs: Needs::$needs,
            config: $config,
            check: $check,
        },)*];

        $(#[test]
        fn $name() {
            run($number);
        })*
    };
}

const RATES: &str = "[rates]\nEUR = \"1.085\"\nJPY = \"0.0067\"\n";
const SMALL_LANES: &str = "[log]\nsegment_bytes = 1048576\nlane_bytes = 65536\n[limits]\nworkers = 2\n";
const NO_BID_BODIES: &str = "[exchanges.demo]\n[exchanges.bodies]\nbody_no_bid = true\n";
const SHORT_AUCTIONS: &str = "[exchanges.demo]\nauction_lifetime_s = 0.3\n";
const TWO_OPEN_BIDS: &str = "[exchanges.demo]\nopen_bids = 2\n";
const BLOCKED_SELLER: &str = "[supply]\nblocked = [\"blocked.example\"]\n";
const GOOGLE: &str = "[exchanges.demo]\nprice = \"google\"\n\
    google_encryption_key = \"sIxwz7yw62yrfoLGt12lIHKuYrK/S5kLuApI2BQe7Ac=\"\n\
    google_integrity_key = \"v3fsVcMBMMHYzRhi7SpM0sdqwzvAxM6KPTu9OtVod5I=\"\n";

lines! {
    1 line_01_post_and_get bodies::post_and_get, Demo, "", "POST is 200 or 204, GET is 405";
    2 line_02_no_bid_is_empty bodies::no_bid_is_empty, Demo, "", "a no-bid is 204 without anything, on an open connection";
    3 line_03_one_json_object bodies::one_json_object, Demo, "", "a 200 is one JSON object with bids";
    4 line_04_malformed_is_400 bodies::malformed_is_400, Demo, "", "malformed bodies are 400, and all lives on";
    5 line_05_broken_rules_are_400 bodies::broken_rules_are_400, Demo, "", "broken rules are 400, counted by rule";
    6 line_06_overload_is_204 limits::overload_is_204, Campaigns, SMALL_LANES, "overload is 204 on an open connection";
    7 line_07_keep_alive limits::keep_alive, Demo, "", "100,000 requests on one connection";
    8 line_08_idle_connections limits::idle_connections, Demo, "", "idle connections live on";
    9 line_09_content_length limits::content_length, Demo, "", "every 200 has a Content-Length, none is chunked";
    10 line_10_pipelining limits::pipelining, Demo, "", "pipelined requests are answered in order";
    11 line_11_encoded_requests encodings::encoded_requests, Demo, "", "gzip and zstd requests; 415; no bomb bursts";
    12 line_12_encoded_responses encodings::encoded_responses, Demo, "", "gzip and zstd responses where they are accepted";
    13 line_13_content_type bodies::content_type, Demo, "", "no Content-Type is JSON, a charset does not matter";
    14 line_14_version_header bodies::version_header, Demo, "", "x-openrtb-version in every response";
    15 line_15_expect_and_http2 encodings::expect_and_http2, Demo, "", "Expect: 100-continue; HTTP/2 with prior knowledge; TLS";
    16 line_16_bounds limits::bounds, Demo, "", "16 KiB of headers and 1 MiB of body; more is 431 and 413";
    17 line_17_ready_probe limits::ready_probe, Demo, "", "the ready probe says 1, or does not";
    18 line_18_tmax deadlines::tmax, Demo, "", "tmax is kept, whatever it is";
    19 line_19_in_time deadlines::in_time, Demo, "", "99.99 % in time";
    20 line_20_twice_the_load deadlines::twice_the_load, Demo, "", "twice the load: 99.9 % in time, the rest 204";
    21 line_21_first_request deadlines::first_request, Demo, "", "the first request of a connection is in time";
    22 line_22_request_id answers::request_id, Demo, "", "the request's id comes back byte for byte";
    23 line_23_impid answers::impid, Demo, "", "every impid is one of the request's";
    24 line_24_bid_ids answers::bid_ids, Campaigns, "", "bid.id, impid, crid are there; crid has at most 128 bytes";
    25 line_25_price_and_floor answers::price_and_floor, Campaigns, RATES, "the price is at least the floor, after conversion";
    26 line_26_deal_terms deals::deal_terms, Campaigns, RATES, "a deal's bid keeps the deal's terms";
    27 line_27_deals_and_open_bids deals::deals_and_open_bids, Campaigns, TWO_OPEN_BIDS, "a bid for each matching deal, and the best open ones";
    28 line_28_currency answers::currency, Campaigns, RATES, "cur is one of the request's; USD when it names none";
    29 line_29_seat answers::seat, Campaigns, "", "the seat is set, allowed and not blocked";
    30 line_30_blocks answers::blocks, Campaigns, "", "blocked advertisers, categories, attributes, apps";
    31 line_31_mtype formats::mtype, Campaigns, "", "mtype is the imp object that is answered";
    32 line_32_banner_size formats::banner_size, Campaigns, "", "a banner's size is one of those offered";
    33 line_33_vast spots::vast, Campaigns, "", "video and audio carry VAST that fits";
    34 line_34_native formats::native, Campaigns, "", "native answers every required asset by id";
    35 line_35_secure formats::secure, Campaigns, "", "no http: where secure is 1";
    36 line_36_urls_and_macros formats::urls_and_macros, Campaigns, "", "notice URLs are https, their macros left alone";
    37 line_37_plain_json answers::plain_json, Campaigns, "", "no null, no NaN, no exponent";
    38 line_38_exp answers::exp, Campaigns, "", "exp is not above the imp's";
    39 line_39_body_no_bid answers::body_no_bid, Config, NO_BID_BODIES, "a no-bid with a body, where configured";
    40 line_40_test_and_privacy people::test_and_privacy, Campaigns, "", "test never spends; privacy signals end personal bidding";
    41 line_41_old_places people::old_places, Campaigns, BLOCKED_SELLER, "2.5 and 2.6 places decide alike";
    42 line_42_unknown_and_huge odd::unknown_and_huge, Campaigns, "", "unknown fields and values, deep and huge: the same decision";
    43 line_43_out_of_home spots::out_of_home, Campaigns, "", "DOOH: the price of one impression, times the multiplier";
    44 line_44_pods spots::pods, Campaigns, "", "pods: maxseq, poddur, rqddurs, mincpmpersec";
    45 line_45_loose_types odd::loose_types, Demo, "", "floats for integers, numbers for ids";
    46 line_46_notice_methods notices::notice_methods, Demo, "", "GET and POST of every notice are 204";
    47 line_47_billed_once notices::billed_once, Campaigns, SHORT_AUCTIONS, "a bill is charged once; a win after a loss still is";
    48 line_48_macro_values notices::macro_values, Campaigns, "", "every macro, substituted or not: no error, no false spend";
    49 line_49_loss_reasons notices::loss_reasons, Campaigns, "", "loss reasons are counted, the price to win is kept";
    50 line_50_google_price outcomes::google_price, Config, GOOGLE, "Google's encrypted price; no flipped bit is taken";
    51 line_51_odd_notices outcomes::odd_notices, Campaigns, RATES, "odd and forged notices: one outcome, counted";
}
