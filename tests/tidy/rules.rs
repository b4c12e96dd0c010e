//! The rules, each with samples that it must and must not hit.

use crate::rooms;
use crate::source::{File, find_word, item_end};

pub struct Rule {
    pub name: &'static str,
    /// Line from 0 and what is wrong with it.
    pub check: fn(&File) -> Vec<(usize, String)>,
    /// Path and text: each is a breach of this rule.
    pub bad: &'static [(&'static str, &'static str)],
    pub good: &'static [(&'static str, &'static str)],
}

const MAX_LINES: usize = 600;

pub const RULES: &[Rule] = &[
    Rule {
        name: "directions",
        check: rooms::directions,
        bad: &[
            ("src/money.rs", "use crate::ledger::fold;"),
            ("src/openrtb/request.rs", "use crate::bidding::decide;"),
            ("src/window/mod.rs", "use crate::openrtb::request;"),
            ("src/ledger/fold.rs", "fn f() { crate::serve::go() }"),
            ("src/bidding/index.rs", "use crate::{\n    ids::CampaignNo,\n    fraud::check,\n};"),
            ("src/bidding/index.rs", "use super::super::fraud::check;"),
            ("src/bidding/mod.rs", "use super::fraud::check;"),
            ("src/bidding/index.rs", "#[cfg(test)]\nmod tests {\n    use super::super::super::fraud::check;\n}"),
            ("src/fraud/rules.rs", "use crate::bidding::decide;"),
            ("src/fraud/rules.rs", "use crate::openrtb::request;"),
            ("src/eventlog/writer.rs", "use crate::tasks::pacer;"),
            ("src/config/mod.rs", "use crate::telemetry::logs;"),
            ("src/serve/bid.rs", "use crate::admin::rest;"),
            ("src/tasks/pacer.rs", "use crate::app::App;"),
            ("src/core/mod.rs", "fn f() {}"),
        ],
        good: &[
            ("src/ledger/fold.rs", "use crate::{event::Event, money::Nanos};\n// use crate::serve::x;"),
            ("src/bidding/decide.rs", "use crate::openrtb::request;\nuse super::index;\nuse super::super::ledger;"),
            ("src/fraud/traffic.rs", "use crate::openrtb::request;"),
            ("src/batch/report.rs", "use crate::eventlog::Reader;\nuse crate::config::Config;"),
            ("src/serve/bid.rs", "use crate::telemetry::metrics;\nuse crate::bidding::decide;"),
            ("src/app.rs", "use crate::serve::run;\nuse crate::admin::run;"),
            ("tests/it/main.rs", "use crate::anything::at_all;"),
        ],
    },
    Rule {
        name: "purity",
        check: rooms::purity,
        bad: &[
            ("src/bidding/decide.rs", "pub async fn decide() {}"),
            ("src/bidding/decide.rs", "f().await;"),
            ("src/window/mod.rs", "use tokio::sync::Mutex;"),
            ("src/scoring/artifact.rs", "use std::{fs, path::Path};"),
            ("src/scoring/artifact.rs", "let text = std::fs::read(path);"),
            ("src/openrtb/notice.rs", "use std::net::IpAddr;\n"),
            ("src/ledger/hot.rs", "let now = std::time::Instant::now();"),
            ("src/event.rs", "let now = SystemTime::now();"),
            ("src/fraud/rules.rs", "use crate::clock::SystemClock;"),
            ("src/fraud/rules.rs", "println!();"),
            ("src/fraud/rules.rs", "tracing::info!();"),
            ("src/bidding/pacing.rs", "let roll = fastrand::u32(..);"),
            ("src/bidding/pacing.rs", "let mut rng = fastrand::Rng::new();"),
            ("src/bidding/pacing.rs", "getrandom::fill(&mut seed);"),
        ],
        good: &[
            (
                "src/bidding/pacing.rs",
                "let mut rng = fastrand::Rng::with_seed(seed); // not tokio\nlet s = \"async fs\";",
            ),
            ("src/bidding/pacing.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() { println!(); }\n}"),
            ("src/clock.rs", "let now = Instant::now();"),
            ("src/serve/bid.rs", "async fn f() { tokio::task::yield_now().await }"),
        ],
    },
    Rule {
        name: "no floats in the ledger",
        check: floats,
        bad: &[
            ("src/ledger/fold.rs", "fn share(x: f64) {}"),
            ("src/ledger/fold.rs", "let x = 1f32;"),
            ("src/ledger/fold.rs", "let x = 0.5 + y;"),
        ],
        good: &[
            ("src/ledger/fold.rs", "let x = self.0.0 + pair.1.0; // 0.5\nfor i in 0..5 {}"),
            ("src/ledger/fold.rs", "#[cfg(test)]\nmod tests {\n    const X: f64 = 0.5;\n}"),
            ("src/scoring/forest.rs", "let x = 0.5f64;"),
        ],
    },
    Rule {
        name: "no panics by hope",
        check: panics,
        bad: &[
            ("src/serve/bid.rs", "let x = y.unwrap();"),
            ("src/serve/bid.rs", "let x = y\n    .expect(\n        \"never\",\n    );"),
            ("src/serve/bid.rs", "// cannot fail: another one\nlet a = 1;\nlet x = y.expect(\"never\");"),
        ],
        good: &[
            ("src/serve/bid.rs", "let x = y.unwrap(); // cannot fail: y was set above"),
            (
                "src/serve/bid.rs",
                "// cannot fail: the digits\n// were counted\nlet x = y\n    .z()\n    .expect(\"digits\");",
            ),
            ("src/serve/bid.rs", "let x = y.unwrap_or_default(); parser.expect(b':')?;"),
            ("src/serve/bid.rs", "#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}"),
            ("tests/it/main.rs", "x.unwrap();"),
        ],
    },
    Rule {
        name: "nothing unfinished",
        check: unfinished,
        bad: &[
            ("src/app.rs", "todo!()"),
            ("tests/it/main.rs", "unimplemented!(\"later\")"),
            ("tests/it/main.rs", "#[ignore = \"slow\"]\nfn f() {}"),
            ("src/app.rs", "#![allow(unused, dead_code)]"),
        ],
        good: &[("src/app.rs", "let todo = \"todo!()\"; // #[ignore]\n#[allow(clippy::too_many_arguments)]")],
    },
    Rule {
        name: "unsafe is explained",
        check: undocumented_unsafe,
        bad: &[
            ("src/main.rs", "let x = 1;\nunsafe { f() }"),
            ("benches/a.rs", "// SAFETY: a\n\nunsafe impl Send for A {}"),
            ("src/main.rs", "// SAFETY: a\nunsafe impl Send for A {}\nunsafe { f() }"),
            ("src/main.rs", "pub unsafe extern \"C\" fn f() {}"),
            ("src/main.rs", "let f: unsafe extern \"C\" fn(u8) = g; unsafe { f(1) }"),
        ],
        good: &[
            ("src/main.rs", "// SAFETY: f needs nothing\n// of its caller\nunsafe { f() }"),
            ("src/main.rs", "/// # Safety\n/// Call it once.\n#[inline]\npub unsafe fn f() {}"),
            ("src/lib.rs", "#![forbid(unsafe_code)]"),
            ("benches/a.rs", "one: unsafe extern \"C\" fn(u8) -> u8,"),
            (
                "src/main.rs",
                "// SAFETY: handed on\nunsafe impl A for B {\n    unsafe fn f() {\n        unsafe { f() }\n    }\n}",
            ),
        ],
    },
    Rule {
        name: "files fit in a head",
        check: too_long,
        // The sample of this one is made in its own test: 600 lines are no constant to write down.
        bad: &[],
        good: &[("src/main.rs", "fn main() {}")],
    },
    Rule {
        name: "no paths of one machine",
        check: machine_paths,
        bad: &[
            ("src/app.rs", concat!("// see /wo", "rk/notes")),
            ("tests/it/main.rs", concat!("const DIR: &str = \"/ro", "ot/x\";")),
        ],
        good: &[("src/app.rs", "// see the /network/ page, and / work")],
    },
];

fn floats(file: &File) -> Vec<(usize, String)> {
    if !file.path.starts_with("src/ledger") {
        return Vec::new();
    }
    let holds = |code: &str| {
        let typed = ["f32", "f64"].iter().any(|kind| {
            code.match_indices(kind).any(|(at, _)| {
                let before = code[..at].trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
                let literal = before.len() < at;
                (literal || find_word(&code[at..], kind) == Some(0)) && !before.ends_with(char::is_alphabetic)
            })
        });
        typed || float_literal(code)
    };
    hits(file, false, holds, "a float in the ledger")
}

/// Digits, a point and digits that are not the fields of a tuple.
fn float_literal(code: &str) -> bool {
    code.match_indices('.').any(|(at, _)| {
        let whole = code[..at].trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
        whole.len() < at
            && code[at + 1..].starts_with(|c: char| c.is_ascii_digit())
            && !whole.ends_with(|c: char| c.is_alphanumeric() || c == '.')
    })
}

fn panics(file: &File) -> Vec<(usize, String)> {
    if !file.path.starts_with("src/") {
        return Vec::new();
    }
    let holds = |code: &str| {
        let message = |at: usize| {
            let rest = code[at + ".expect(".len()..].trim_start();
            rest.is_empty() || rest.starts_with(['"', '&'])
        };
        code.contains(".unwrap()") || code.match_indices(".expect(").any(|(at, _)| message(at))
    };
    let mut hits = hits(file, false, holds, "may panic; say `// cannot fail: why` above it, or return an error");
    hits.retain(|(line, _)| !file.explained(*line, &["cannot fail:"]));
    hits
}

fn unfinished(file: &File) -> Vec<(usize, String)> {
    let holds = |code: &str| {
        ["todo!", "unimplemented!"].iter().any(|word| find_word(code, word).is_some())
            || code.contains("#[ignore")
            || code.contains("allow(") && find_word(code, "dead_code").is_some()
            || code.contains("expect(dead_code") && !code.contains("reason =")
    };
    hits(file, true, holds, "unfinished, unused or switched off")
}

fn undocumented_unsafe(file: &File) -> Vec<(usize, String)> {
    let holds = |code: &str| find_word(&without_unsafe_types(code), "unsafe").is_some();
    let mut hits = hits(file, true, holds, "unsafe without a `// SAFETY:` comment");
    hits.retain(|(line, _)| !file.explained(*line, &["SAFETY", "# Safety"]));
    // The reason given for an unsafe impl is the reason of what stands in it.
    let impls = file
        .lines(true)
        .filter(|(line, code)| find_word(code, "unsafe impl").is_some() && file.explained(*line, &["SAFETY"]));
    for (line, _) in impls {
        let end = item_end(&file.code, line);
        hits.retain(|(hit, _)| !(line..=end).contains(hit));
    }
    hits
}

/// The type of a function that is unsafe to call is not a call: the line without such types.
fn without_unsafe_types(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some(at) = find_word(rest, "unsafe extern") {
        let (before, found) = rest.split_at(at);
        let (word, after) = found.split_at("unsafe".len());
        kept += before;
        let abi = after.trim_start().trim_start_matches("extern").trim_start();
        let name = abi.strip_prefix('"').and_then(|abi| abi.split_once('"')).map_or(abi, |(_, rest)| rest);
        match name.trim_start().strip_prefix("fn(") {
            Some(arguments) => rest = arguments,
            None => (kept, rest) = (kept + word, after),
        }
    }
    kept + rest
}

fn too_long(file: &File) -> Vec<(usize, String)> {
    // What follows the last line break is no line.
    let lines = file.raw.len() - usize::from(file.raw.last().is_some_and(String::is_empty));
    if lines <= MAX_LINES { Vec::new() } else { vec![(MAX_LINES, format!("{lines} lines, more than {MAX_LINES}"))] }
}

fn machine_paths(file: &File) -> Vec<(usize, String)> {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let lines = file.raw.iter().enumerate().filter(|(_, raw)| paths.iter().any(|path| raw.contains(path)));
    lines.map(|(line, _)| (line, "a path of one machine".to_owned())).collect()
}

fn hits(file: &File, with_tests: bool, holds: impl Fn(&str) -> bool, message: &str) -> Vec<(usize, String)> {
    file.lines(with_tests).filter(|(_, code)| holds(code)).map(|(line, _)| (line, message.to_owned())).collect()
}

/// Names of metrics in the one file that has them, that the README does not tell of: every text that begins with
/// `gavel_`. With no such text the rule looks at the wrong thing, which is a fault too.
pub fn undocumented_metrics(metrics: &File, readme: &str) -> Vec<(usize, String)> {
    let is_name =
        |text: &str| text.starts_with("gavel_") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let names: Vec<_> = metrics.texts.iter().filter(|(line, text)| !metrics.test[*line] && is_name(text)).collect();
    if names.is_empty() {
        return vec![(0, "names no metric that begins with `gavel_`".to_owned())];
    }
    // The registry appends the unit or `_total` to some names.
    let told = |name: &str| find_word(readme, name).is_some() || readme.contains(&format!("{name}_"));
    let untold = names.into_iter().filter(|(_, name)| !told(name));
    untold.map(|(line, name)| (*line, format!("the metric `{name}` is not in README.md"))).collect()
}
