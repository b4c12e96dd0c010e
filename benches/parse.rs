//! What do the wire formats cost: reading a bid request, writing a bid, signing and checking a token?
//!
//! Peers for reading are serde_json into owned types with the same fields, and into `serde_json::Value`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gavel::clock::{Day, UnixMs};
use gavel::event::Facts;
use gavel::ids::{CampaignNo, Currency, Epoch, NodeId, ReservationId};
use gavel::money::{Nanos, Quantity, Rate};
use gavel::openrtb::codes::MarkupType;
use gavel::openrtb::fragment::{CreativeParts, Fragment};
use gavel::openrtb::notice::{Macros, NoticeUrls};
use gavel::openrtb::response::{BidParts, SeatBid, write_response};
use gavel::openrtb::{KeyRing, NoticeQuery, PriceScheme, parse, price_claim};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BODY: &str = include_str!("../tests/fixtures/openrtb/banner.json");

/// The fields of a banner request that a bidder reads, as a server without a scanner of its own would hold them.
#[expect(dead_code, reason = "what is read is measured, not used")]
mod owned {
    use serde::Deserialize;

    #[derive(Deserialize)]
    pub struct BidRequest {
        pub id: String,
        pub imp: Vec<Imp>,
        pub site: Option<Site>,
        pub device: Option<Device>,
        pub user: Option<User>,
        pub at: Option<i64>,
        pub tmax: Option<i64>,
        pub cur: Option<Vec<String>>,
        pub bcat: Option<Vec<String>>,
        pub badv: Option<Vec<String>>,
        pub bapp: Option<Vec<String>>,
        pub source: Option<Source>,
        pub regs: Option<Regs>,
    }
    #[derive(Deserialize)]
    pub struct Imp {
        pub id: String,
        pub banner: Option<Banner>,
        pub pmp: Option<Pmp>,
        pub bidfloor: Option<f64>,
        pub bidfloorcur: Option<String>,
        pub secure: Option<i64>,
        pub instl: Option<i64>,
        pub tagid: Option<String>,
        pub exp: Option<i64>,
    }
    #[derive(Deserialize)]
    pub struct Banner {
        pub w: Option<u32>,
        pub h: Option<u32>,
        pub format: Option<Vec<Format>>,
        pub battr: Option<Vec<i64>>,
        pub btype: Option<Vec<i64>>,
        pub mimes: Option<Vec<String>>,
        pub pos: Option<i64>,
        pub api: Option<Vec<i64>>,
    }
    #[derive(Deserialize)]
    pub struct Format {
        pub w: u32,
        pub h: u32,
    }
    #[derive(Deserialize)]
    pub struct Pmp {
        pub private_auction: Option<i64>,
        pub deals: Option<Vec<Deal>>,
    }
    #[derive(Deserialize)]
    pub struct Deal {
        pub id: String,
        pub bidfloor: Option<f64>,
        pub bidfloorcur: Option<String>,
        pub at: Option<i64>,
        pub wseat: Option<Vec<String>>,
        pub wadomain: Option<Vec<String>>,
    }
    #[derive(Deserialize)]
    pub struct Site {
        pub id: Option<String>,
        pub name: Option<String>,
        pub domain: Option<String>,
        pub cat: Option<Vec<String>>,
        pub sectioncat: Option<Vec<String>>,
        pub pagecat: Option<Vec<String>>,
        pub page: Option<String>,
        pub keywords: Option<String>,
        pub publisher: Option<Publisher>,
        pub content: Option<Content>,
    }
    #[derive(Deserialize)]
    pub struct Publisher {
        pub id: Option<String>,
        pub domain: Option<String>,
    }
    #[derive(Deserialize)]
    pub struct Content {
        pub language: Option<String>,
        pub cat: Option<Vec<String>>,
    }
    #[derive(Deserialize)]
    pub struct Device {
        pub ua: Option<String>,
        pub ip: Option<String>,
        pub geo: Option<Geo>,
        pub devicetype: Option<i64>,
        pub make: Option<String>,
        pub model: Option<String>,
        pub os: Option<String>,
        pub osv: Option<String>,
        pub language: Option<String>,
        pub ifa: Option<String>,
        pub lmt: Option<i64>,
        pub dnt: Option<i64>,
    }
    #[derive(Deserialize)]
    pub struct Geo {
        pub country: Option<String>,
        pub region: Option<String>,
        pub city: Option<String>,
    }
    #[derive(Deserialize)]
    pub struct User {
        pub id: Option<String>,
        pub buyeruid: Option<String>,
        pub data: Option<Vec<Data>>,
    }
    #[derive(Deserialize)]
    pub struct Data {
        pub segment: Option<Vec<Segment>>,
    }
    #[derive(Deserialize)]
    pub struct Segment {
        pub id: Option<String>,
    }
    #[derive(Deserialize)]
    pub struct Source {
        pub tid: Option<String>,
    }
    #[derive(Deserialize)]
    pub struct Regs {
        pub coppa: Option<i64>,
        pub gdpr: Option<i64>,
        pub us_privacy: Option<String>,
    }
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(BODY.len() as u64));
    group.bench_function("parse", |b| b.iter(|| parse(black_box(BODY.as_bytes())).is_ok()));
    group.bench_function("serde_json/owned", |b| {
        b.iter(|| serde_json::from_slice::<owned::BidRequest>(black_box(BODY.as_bytes())).is_ok());
    });
    group.bench_function("serde_json/value", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(BODY.as_bytes())).is_ok());
    });
    group.bench_function("utf8 alone", |b| b.iter(|| std::str::from_utf8(black_box(BODY.as_bytes())).is_ok()));
    let pretty = serde_json::from_str::<serde_json::Value>(BODY).and_then(|v| serde_json::to_string_pretty(&v));
    let pretty = pretty.unwrap_or_default();
    group.throughput(Throughput::Bytes(pretty.len() as u64));
    group.bench_function("parse/pretty-printed", |b| b.iter(|| parse(black_box(pretty.as_bytes())).is_ok()));
    group.finish();

    let blocked: Vec<String> = (0..10_000).map(|i| format!("\"IAB{}-{}\"", i / 30, i % 30)).collect();
    let large = format!("{{\"id\":\"r\",\"imp\":[{{\"id\":\"1\"}}],\"bcat\":[{}]}}", blocked.join(","));
    let mut group = c.benchmark_group("10,000 blocked categories");
    group.bench_function("parse", |b| b.iter(|| parse(black_box(large.as_bytes())).is_ok()));
    if let Ok(request) = parse(large.as_bytes()) {
        group.bench_function("walk", |b| b.iter(|| black_box(&request).bcat.contains("none of them")));
    }
    group.finish();
}

fn facts() -> Facts {
    Facts {
        reservation: ReservationId { node: NodeId(1), epoch: Epoch(2), bucket: 29_000_000, seq: 4 },
        campaign: CampaignNo(5),
        lease_seq: 6,
        day: Day(20_000),
        daily: true,
        creative: 1,
        exchange: gavel::ids::name_hash("demo"),
        bid_at: UnixMs(1_700_000_000_000),
        auction_ms: 120_000,
        bill_ms: 3_600_000,
        reserved: Nanos(2_500_000),
        price: Nanos(2_304_147),
        currency: Currency(*b"EUR"),
        campaign_currency: Currency::USD,
        rate: Rate(1_085_000_000),
        campaign_rate: Rate::USD,
        quantity: Quantity::ONE,
        user: 99,
        spend_on_win: false,
        test: false,
        model: 0,
    }
}

fn bidding(c: &mut Criterion) {
    let Ok(ring) = KeyRing::new(vec![(1, [7; 32])]) else { return };
    let (facts, expiry, now) = (facts(), UnixMs(1_700_172_800_000), UnixMs(1_700_000_000_000));
    let mut token = Vec::new();
    ring.sign_into(&facts, expiry, &mut token);
    let mut group = c.benchmark_group("token");
    group.bench_function("sign", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            ring.sign_into(black_box(&facts), expiry, &mut out);
            out.len()
        });
    });
    group.bench_function("verify", |b| b.iter(|| ring.verify(black_box(&token), now).is_ok()));
    group.finish();

    let mut group = c.benchmark_group("notice");
    group.bench_function("query and claim", |b| {
        b.iter(|| {
            let query = NoticeQuery::parse(black_box("p=1.875&c=EUR"));
            price_claim(&facts, query.price.as_deref(), query.currency.as_deref(), None, &PriceScheme::Plain)
        });
    });
    group.finish();

    let Ok(request) = parse(BODY.as_bytes()) else { return };
    let adm = "<a href=\"https://acme.example/\"><img src=\"https://cdn.acme.example/300x250.png\"></a>".repeat(4);
    let adomain = [Box::from("acme.example")];
    let fragment = Fragment::render(&CreativeParts {
        adm: Some(&adm),
        adomain: &adomain,
        bundle: None,
        cat: &[],
        cattax: None,
        attr: &[],
        crid: "cr-1",
        cid: "c-42",
        size: Some((300, 250)),
        mtype: MarkupType::Banner,
        dur: None,
        apis: &[],
        language: None,
    });
    let urls = NoticeUrls::new("https://rtb.example", &Macros::default());
    let mut group = c.benchmark_group("write");
    group.bench_function("one bid", |b| {
        let mut out = Vec::with_capacity(4_096);
        b.iter(|| {
            out.clear();
            let bid = BidParts {
                id: "0001000000021ba8140000000004",
                impid: &request.imp[0].id,
                price: facts.price,
                token: black_box(&token),
                quantity: Quantity::ONE,
                urls: &urls,
                fragment: &fragment.bytes,
                token_slots: &fragment.token_slots,
                markup_token: b"M",
                dealid: None,
                exp: Some(120),
                size: None,
                protocol: None,
            };
            let seats = [SeatBid { seat: "gavel", bids: &[bid] }];
            write_response(&mut out, &request.id, &seats, "0001000000021ba8140000000004", Currency::USD)
        });
    });
    group.finish();
}

criterion_group!(benches, reading, bidding);
criterion_main!(benches);
