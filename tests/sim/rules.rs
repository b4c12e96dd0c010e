//! What `gavel.toml` says: at each start something else.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use gavel::config::{Config, RawConfig};
use gavel::ids::name_hash;

use crate::price::{ENCRYPTION_KEY, INTEGRITY_KEY};

/// Name, auction and bill lifetime in milliseconds, and the rest.
const EXCHANGES: [(&str, i64, i64, &str); 4] = [
    ("bill", 2_000, 12_000, ""),
    ("win", 3_000, 9_000, "spend_on = \"win\""),
    ("silent", 2_500, 10_000, "sends_win = false\ncurrency = \"EUR\""),
    ("google", 2_200, 11_000, "price = \"google\""),
];
/// Lifetimes are often what they were, and sometimes so many quarters of that.
const QUARTERS: [i64; 8] = [4, 4, 4, 4, 2, 1, 8, 16];
const TOKEN_MS: [i64; 6] = [240_000, 240_000, 240_000, 20_000, 60_000, 480_000];
const GRACE_MS: [i64; 4] = [10_000, 10_000, 200, 30_000];
/// The node's number is no part of the log's directory: somebody may change it.
const NODES: [u16; 5] = [1, 1, 1, 1, 2];

/// No start withholds or remembers anything for longer.
pub const LONGEST_MS: i64 = 4 * (2_000 + 12_000) + 30_000 + 1_000;
pub const LONGEST_TOKEN_MS: i64 = 480_000;

/// The config of the next start: lifetimes longer or shorter than before, and now and then an exchange is gone.
pub fn draw(rng: &mut Rng) -> Config {
    let removed = if rng.u32(..6) == 0 { rng.usize(..EXCHANGES.len()) } else { EXCHANGES.len() };
    let quarters = QUARTERS[rng.usize(..QUARTERS.len())];
    let mut text = format!(
        "node = {}\n[rates]\nEUR = \"1.085\"\n[frequency]\nbid_for_unknown = {}\n[ledger]\nlease_grace_s = {}\n",
        NODES[rng.usize(..NODES.len())],
        rng.u32(..8) == 0,
        seconds(GRACE_MS[rng.usize(..GRACE_MS.len())])
    );
    let token_ms = TOKEN_MS[rng.usize(..TOKEN_MS.len())];
    for (at, (name, auction_ms, bill_ms, more)) in EXCHANGES.into_iter().enumerate() {
        if at == removed {
            continue;
        }
        // One lives a little longer than the other.
        let (auction, bill) = (seconds(auction_ms * quarters / 4), seconds(bill_ms * quarters / 4));
        let token = seconds(token_ms - at as i64 * 3_000);
        text += &format!(
            "[exchanges.{name}]\nauction_lifetime_s = {auction}\nbill_lifetime_s = {bill}\ntoken_lifetime_s = {token}\n{more}\n"
        );
        if name == "google" {
            let [encryption, integrity] = [ENCRYPTION_KEY, INTEGRITY_KEY].map(|key| STANDARD.encode(key));
            text += &format!("google_encryption_key = \"{encryption}\"\ngoogle_integrity_key = \"{integrity}\"\n");
        }
    }
    let raw = RawConfig { file: Some((PathBuf::from("gavel.toml"), text)), ..RawConfig::default() };
    raw.check().unwrap_or_else(|faults| panic!("{}", faults[0]))
}

/// Whether an exchange encrypts its prices.
pub fn is_google(number: u32) -> bool {
    number == name_hash("google")
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
