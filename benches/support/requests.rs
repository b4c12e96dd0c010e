//! Bid requests for one banner, about 2.5 KB each, all from a seed.

use fastrand::Rng;

use super::places::{CATEGORIES, DEVICES, PLACES, SITES, SIZES, pick, site};

/// Users that requests come from; the k-th most active one is drawn in proportion to 1/k.
const USERS: f64 = 1_000_000.0;
/// CPM floors, low ones more often.
const FLOORS: [&str; 8] = ["0", "0.01", "0.01", "0.05", "0.1", "0.25", "0.5", "1.0"];
const BLOCKED: &str = "\"bcat\":[\"IAB25\",\"IAB26\",\"IAB7-39\",\"IAB8-5\",\"IAB8-18\",\"IAB9-9\",\"IAB11-4\",\
    \"IAB14-1\"],\"badv\":[\"blocked.example\",\"casino.example\",\"tobacco.example\",\"rival-one.example\",\
    \"rival-two.example\",\"payday.example\",\"lottery.example\"]";
const AGENT: &str = "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/126.0.0.0 Mobile Safari/537.36";

/// The body of request number `i`.
pub fn request(i: usize) -> String {
    let rng = &mut Rng::with_seed((i as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03));
    let zipf = |rng: &mut Rng, n: f64| (rng.f64() * n.ln()).exp() as u64;
    let (_, country, region, city, language) = pick(rng, &PLACES, |place| place.0);
    let (_, kind, _, _, os) = pick(rng, &DEVICES, |device| device.0);
    let (_, w, h) = pick(rng, &SIZES, |size| size.0);
    let (_, w2, h2) = pick(rng, &SIZES, |size| size.0);
    let domain = site(zipf(rng, f64::from(SITES)) as u32);
    let user = zipf(rng, USERS).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (page, publisher, category) = (rng.u32(..100_000), rng.u16(1..200), CATEGORIES[rng.usize(..CATEGORIES.len())]);
    let (floor, segment, ip) = (FLOORS[rng.usize(..FLOORS.len())], rng.u8(1..50), rng.u32(..));
    let id = format!("{:016x}{:016x}", rng.u64(..), rng.u64(..));
    format!(
        "{{\"id\":\"{id}\",\"at\":1,\"tmax\":120,\"cur\":[\"USD\"],\"imp\":[{{\"id\":\"1\",\"tagid\":\"slot-{page}\",\
         \"secure\":1,\"bidfloor\":{floor},\"bidfloorcur\":\"USD\",\"displaymanager\":\"renderer\",\
         \"displaymanagerver\":\"8.37.0\",\"instl\":0,\"clickbrowser\":1,\"banner\":{{\"w\":{w},\"h\":{h},\"pos\":1,\
         \"format\":[{{\"w\":{w},\"h\":{h}}},{{\"w\":{w2},\"h\":{h2}}}],\"battr\":[1,3,8,10,14],\"btype\":[4],\
         \"mimes\":[\"image/jpeg\",\"image/png\",\"text/html\"],\"api\":[3,5,7],\"topframe\":1}},\
         \"ext\":{{\"gpid\":\"/21783347309/{domain}/home/slot-{page}\",\"tid\":\"{id}\"}}}}],\
         \"site\":{{\"id\":\"site-{publisher}\",\"name\":\"{domain}\",\"domain\":\"{domain}\",\"cat\":[\"{category}\"],\
         \"sectioncat\":[\"{category}\"],\"page\":\"https://{domain}/articles/{page}/what-happened-next?utm_source=feed&id={page}\",\
         \"ref\":\"https://search.example/?q={page}\",\"mobile\":1,\"privacypolicy\":1,\
         \"keywords\":\"news,politics,weather,sports,travel,business,technology\",\
         \"publisher\":{{\"id\":\"pub-{publisher}\",\"name\":\"Publisher {publisher}\",\"domain\":\"{domain}\"}},\
         \"content\":{{\"id\":\"article-{page}\",\"title\":\"What happened next will not surprise you\",\"language\":\"{language}\",\
         \"url\":\"https://{domain}/articles/{page}\",\"cat\":[\"{category}\"]}}}},\
         \"device\":{{\"ua\":\"{AGENT}\",\"sua\":{{\"browsers\":[{{\"brand\":\"Chromium\",\"version\":[\"126\"]}},\
         {{\"brand\":\"Google Chrome\",\"version\":[\"126\"]}}],\"platform\":{{\"brand\":\"{os}\",\"version\":[\"14\"]}},\
         \"mobile\":1}},\"ip\":\"198.51.100.{}\",\"devicetype\":{kind},\"make\":\"Samsung\",\"model\":\"SM-S918B\",\
         \"os\":\"{os}\",\"osv\":\"14\",\"w\":1080,\"h\":2316,\"pxratio\":2.6,\"js\":1,\"language\":\"{language}\",\
         \"connectiontype\":5,\"mccmnc\":\"310-410\",\"dnt\":0,\"lmt\":0,\
         \"ifa\":\"{:08x}-{:04x}-4abc-8def-{:012x}\",\"geo\":{{\"lat\":34.0522,\"lon\":-118.2437,\"type\":2,\
         \"country\":\"{country}\",\"region\":\"{region}\",\"city\":\"{city}\",\"utcoffset\":-480}}}},\
         \"user\":{{\"id\":\"u-{user:016x}\",\"buyeruid\":\"b-{user:016x}\",\"yob\":1984,\
         \"data\":[{{\"id\":\"dp-1\",\"name\":\"segments\",\"segment\":[{{\"id\":\"s{segment}\"}},{{\"id\":\"s{}\"}}]}}],\
         \"ext\":{{\"eids\":[{{\"source\":\"id.example\",\"uids\":[{{\"id\":\"{user:016x}\",\"atype\":1}}]}}]}}}},\
         \"regs\":{{\"coppa\":0,\"gdpr\":0}},{BLOCKED},\
         \"source\":{{\"fd\":0,\"tid\":\"{id}\",\"schain\":{{\"ver\":\"1.0\",\"complete\":1,\"nodes\":[\
         {{\"asi\":\"exchange.example\",\"sid\":\"pub-{publisher}\",\"hp\":1}},\
         {{\"asi\":\"reseller.example\",\"sid\":\"{page}\",\"rid\":\"{id}\",\"hp\":1}}]}}}}}}",
        ip % 254,
        user >> 32,
        user >> 16 & 0xffff,
        user & 0xffff_ffff_ffff,
        segment % 49 + 1,
    )
}
