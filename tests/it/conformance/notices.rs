//! Lines 46 to 49: what exchanges tell, and how it is booked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel::event::{Event, NoticeKind, Offset};
use gavel::eventlog::{DirStorage, ReadOnlyLog};
use serde_json::{Value, json};

use super::Check;
use super::target::{Target, text};
use crate::make::{request, substitute};
use crate::server::Account;

/// Nanos of a CPM of 9.00.
const BID: i64 = 9_000_000;

/// Calls one of a bid's URLs with a price in its currency.
pub fn tell(t: &Target, bid: &Value, which: &str, price: &str) -> Check {
    let values = [("AUCTION_PRICE", price), ("AUCTION_CURRENCY", "USD"), ("AUCTION_LOSS", "102")];
    t.notice(&substitute(text(bid, which)?, &values))
}

pub fn notice_methods(t: &Target) -> Check {
    for method in ["GET", "POST"] {
        let bid = t.any_bid(&request())?;
        for which in ["nurl", "burl", "lurl"] {
            let values = [("AUCTION_PRICE", "0.01"), ("AUCTION_CURRENCY", "USD"), ("AUCTION_LOSS", "1")];
            let url = substitute(text(&bid, which)?, &values);
            for _ in 0..3 {
                t.notice_by(method, &url)?;
            }
        }
    }
    for path in ["/n/win/x", "/n/bill/x?p=1", "/n/loss/x"] {
        for method in ["PUT", "DELETE"] {
            let answer = t.send(method, path, b"")?;
            ensure!(answer.status == 405 && answer.body.is_empty(), "{method} {path} is {}", answer.status);
        }
    }
    Ok(())
}

/// What an account and the books say at a quiet moment.
fn stands(t: &Target, spent: i64, reserved: i64, billed: u64) -> Result<Account, String> {
    let a = t.account("a")?;
    let seen = (a.spent, a.reserved, a.billed);
    ensure!(
        seen == (spent, reserved, billed),
        "(spent, reserved, billed) is {seen:?}, not {:?}",
        (spent, reserved, billed)
    );
    ensure!(a.available == a.budget - a.spent - a.reserved - a.withheld, "it does not add up: {a:?}");
    t.booked("a", (spent, a.late, billed))?;
    Ok(a)
}

/// Replayed, retried, reordered, at once, and late.
pub fn billed_once(t: &Target) -> Check {
    t.put_one(json!({}))?;
    // Of tests, so that nothing of it is reserved.
    t.bid(&crate::make::with(t.request(), json!({"test": 1})))?;
    let base = t.account("a")?;
    ensure!((base.spent, base.reserved) == (0, 0), "{base:?}");
    let (mut spent, mut billed) = (0, 0);
    // Each order of win, bill and loss, and each notice three times over.
    let orders: [&[&str]; 8] = [
        &["nurl", "burl"],
        &["burl", "nurl"],
        &["burl"],
        &["nurl", "nurl", "burl", "burl", "nurl", "burl"],
        &["burl", "burl", "nurl", "lurl"],
        &["nurl", "lurl", "burl"],
        &["lurl", "burl"],
        &["lurl", "nurl", "burl", "burl"],
    ];
    for order in orders {
        let bid = t.bid(&t.request())?;
        for which in order {
            for _ in 0..3 {
                tell(t, &bid, which, "8.50")?;
            }
        }
        // A retry with another price changes nothing either.
        tell(t, &bid, "burl", "9.00")?;
        (spent, billed) = (spent + 8_500_000, billed + 1);
        stands(t, spent, 0, billed).map_err(|e| format!("{order:?}: {e}"))?;
    }
    // Many at once, on connections of their own.
    let bid = t.bid(&t.request())?;
    let values = [("AUCTION_PRICE", "8.50"), ("AUCTION_CURRENCY", "USD")];
    let url = substitute(text(&bid, "burl")?, &values);
    let path = url.strip_prefix("https://").and_then(|u| u.find('/').map(|at| &u[at..])).ok_or("no path")?;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut client = t.connect();
            scope.spawn(move || {
                (0..5).all(|_| client.try_request("POST", path, &[], b"").is_ok_and(|a| a.status == 204))
            });
        }
    });
    (spent, billed) = (spent + 8_500_000, billed + 1);
    let on_time = stands(t, spent, 0, billed)?;
    if t.own().is_none() {
        return Ok(());
    }
    // A win after the loss that was assumed: nobody told anything for as long as an auction may take.
    let bid = t.bid(&t.request())?;
    let started = Instant::now();
    while t.account("a")?.reserved > 0 {
        ensure!(started.elapsed() < Duration::from_secs(5), "the money never comes back");
        std::thread::sleep(Duration::from_millis(20));
    }
    tell(t, &bid, "nurl", "8.50")?;
    for _ in 0..3 {
        tell(t, &bid, "burl", "8.50")?;
    }
    let late = stands(t, spent + 8_500_000, 0, billed + 1)?;
    ensure!(late.late == on_time.late + 8_500_000, "late is {} after {}", late.late, on_time.late);
    Ok(())
}

/// Section 4.4: what may stand in a macro's place.
pub fn macro_values(t: &Target) -> Check {
    t.put_one(json!({}))?;
    let bid = t.bid(&t.request())?;
    let before = t.account("a")?;
    let token_url = |which: &str| -> Result<String, String> {
        Ok(text(&bid, which)?.split('?').next().unwrap_or_default().to_owned())
    };
    let macros = [
        "AUCTION_ID",
        "AUCTION_BID_ID",
        "AUCTION_IMP_ID",
        "AUCTION_SEAT_ID",
        "AUCTION_AD_ID",
        "AUCTION_PRICE",
        "AUCTION_CURRENCY",
        "AUCTION_MBR",
        "AUCTION_LOSS",
        "AUCTION_MIN_TO_WIN",
        "AUCTION_MULTIPLIER",
        "AUCTION_IMP_TS",
        "AUCTION_SOMETHING_NEW",
    ];
    // Nothing that says a price: no spend, no error, and the money stays aside.
    for which in ["nurl", "burl"] {
        let base = token_url(which)?;
        t.notice(&base)?;
        for price in ["", "AUDIT", "audit", "-1", "abc", "NaN", "inf", "1,5", "0x10", "%00", "%FF", "%", "null"] {
            t.notice(&format!("{base}?p={price}&c=USD"))?;
        }
        for name in macros {
            for spelled in [format!("${{{name}}}"), format!("%24%7B{name}%7D"), format!("${{{name}:B64}}")] {
                t.notice(&format!("{base}?p={spelled}&c={spelled}&m={spelled}&l={spelled}&x={spelled}&z={spelled}"))?;
            }
        }
        for field in ["c", "m", "l", "x"] {
            for odd in ["", "AUDIT", "${AUCTION_X}", "%", "\u{7e}"] {
                t.notice(&format!("{base}?p=&{field}={odd}"))?;
            }
        }
        let after = t.account("a")?;
        let same = (after.spent, after.reserved, after.billed) == (before.spent, before.reserved, before.billed);
        ensure!(same, "{which} without a price: {before:?} became {after:?}");
    }
    // Every macro that is substituted is understood, or does not matter.
    let mut spent = 0;
    for (name, value) in [
        ("AUCTION_CURRENCY", "USD"),
        ("AUCTION_CURRENCY", ""),
        ("AUCTION_CURRENCY", "AUDIT"),
        ("AUCTION_MIN_TO_WIN", "9.10"),
        ("AUCTION_MIN_TO_WIN", ""),
        ("AUCTION_LOSS", "0"),
        ("AUCTION_LOSS", "${AUCTION_LOSS}"),
        ("AUCTION_MBR", "0.5"),
        ("AUCTION_IMP_TS", "1795000000000"),
        ("AUCTION_SEAT_ID", "gavel"),
        ("AUCTION_ID", "r-1"),
    ] {
        let bid = t.bid(&t.request())?;
        let url = substitute(text(&bid, "burl")?, &[("AUCTION_PRICE", "1.00"), (name, value)]);
        t.notice(&format!("{url}&y={value}"))?;
        spent += 1_000_000;
        let seen = t.account("a")?.spent;
        ensure!(seen == spent, "{name} = {value:?}: {seen} spent, not {spent}");
    }
    // A price of nothing is a price: it books nothing and ends the reservation.
    let held = t.account("a")?.reserved;
    tell(t, &bid, "burl", "0")?;
    let after = t.account("a")?;
    ensure!((after.spent, after.reserved) == (spent, held - BID), "a price of 0: {after:?}");
    Ok(())
}

/// OpenRTB 3.0, list of loss reasons; section 4.4.
pub fn loss_reasons(t: &Target) -> Check {
    t.put_one(json!({}))?;
    t.bid(&crate::make::with(t.request(), json!({"test": 1})))?;
    for (reason, label, least) in [
        ("1", "1", "9.10"),
        ("100", "100", "12.5"),
        ("102", "102", "9.000001"),
        ("1002", "1000+", ""),
        ("x", "none", "AUDIT"),
    ] {
        let bid = t.bid(&t.request())?;
        let name = format!("gavel_losses_total{{reason=\"{label}\"}}");
        let before = t.metric(&name)?;
        let values = [("AUCTION_LOSS", reason), ("AUCTION_MIN_TO_WIN", least), ("AUCTION_PRICE", "9.5")];
        t.notice(&substitute(text(&bid, "lurl")?, &values))?;
        let after = t.metric(&name)?;
        ensure!(
            after.zip(before).is_none_or(|(after, before)| after == before + 1.0),
            "{reason} is not counted as {label}"
        );
    }
    let a = t.account("a")?;
    ensure!((a.spent, a.reserved, a.wins) == (0, 0, 0), "{a:?}");
    let Some(server) = t.own() else { return Ok(()) };
    let storage = DirStorage::new(server.dir.path().join("data/log")).map_err(|e| e.to_string())?;
    let log = ReadOnlyLog::open(Arc::new(storage), &mut |_, _| {}).map_err(|e| e.to_string())?;
    let mut reader = log.read(Offset(0)).map_err(|e| e.to_string())?;
    let mut kept = Vec::new();
    while let Some(stamped) = reader.next_event().map_err(|e| e.to_string())? {
        if let Event::Notice(notice) = stamped.event
            && notice.kind == NoticeKind::Loss
        {
            kept.push((notice.loss_reason, notice.min_to_win.0));
        }
    }
    let wanted = [(1, 9_100_000), (100, 12_500_000), (102, 9_000_001), (1_002, -1), (0, -1)];
    ensure!(kept == wanted, "the log has {kept:?}");
    Ok(())
}
