//! The rooms of `src` and who may know whom.

use crate::source::{File, find_word, joined_uses, names_after};

/// What everyone may know, and what knows only itself.
const VOCABULARY: &[&str] = &["money", "ids", "clock", "event", "wire", "json"];
/// Pure rooms with the rooms they know besides the vocabulary.
const CORE: &[(&str, &[&str])] = &[
    ("openrtb", &[]),
    ("scoring", &[]),
    ("window", &[]),
    ("ledger", &[]),
    ("bidding", &["openrtb", "scoring", "window", "ledger"]),
    ("fraud", &["scoring", "window"]),
];
/// The shell's inner rooms: they know the core and one another.
const INNER: &[&str] = &["config", "eventlog", "bookstore", "modelstore", "batch", "telemetry"];
/// The shell's outer rooms: they know all of the above, never one another.
const OUTER: &[&str] = &["serve", "admin", "tasks"];
/// The composition root and what stands around it.
const TOP: &[&str] = &["app", "cli", "main", "lib"];

/// Whether `room`, in the file at `path`, may know `other`.
fn may_know(room: &str, other: &str, path: &str) -> bool {
    let is_core = |name: &str| CORE.iter().any(|(core, _)| *core == name);
    if room == other || TOP.contains(&room) || VOCABULARY.contains(&other) {
        return true;
    }
    if let Some((_, known)) = CORE.iter().find(|(core, _)| *core == room) {
        // Traffic tests on the bid path read the request itself.
        return known.contains(&other) || path.starts_with("src/fraud/traffic") && other == "openrtb";
    }
    match room {
        "config" => is_core(other),
        _ if INNER.contains(&room) => is_core(other) || INNER.contains(&other),
        _ if OUTER.contains(&room) => is_core(other) || INNER.contains(&other),
        _ => false,
    }
}

fn is_room(name: &str) -> bool {
    VOCABULARY.contains(&name)
        || CORE.iter().any(|(core, _)| *core == name)
        || [INNER, OUTER, TOP].iter().any(|rooms| rooms.contains(&name))
}

/// The room a file of `src` belongs to.
fn room(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    Some(rest.split('/').next()?.trim_end_matches(".rs"))
}

pub fn is_core(file: &File) -> bool {
    room(&file.path).is_some_and(|room| CORE.iter().any(|(core, _)| *core == room) || VOCABULARY.contains(&room))
}

pub fn directions(file: &File) -> Vec<(usize, String)> {
    let Some(room) = room(&file.path) else { return Vec::new() };
    if !is_room(room) {
        return vec![(0, format!("the room `{room}` is not in the layout: give it a place in tests/tidy/rooms.rs"))];
    }
    let mut breaches = Vec::new();
    for (line, statement) in joined_uses(file) {
        let mut names = names_after(&statement, "crate");
        // A module within a file, such as its tests, is one step deeper than the file.
        let depth = module_depth(&file.path) + usize::from(file.test[line]);
        names.extend(names_after(&statement, &vec!["super"; depth].join("::")));
        for name in names {
            if is_room(name) && !may_know(room, name, &file.path) {
                breaches.push((line, format!("`{room}` must not know `{name}`")));
            }
        }
    }
    breaches
}

/// How many times `super` leads from a file to the crate's root.
fn module_depth(path: &str) -> usize {
    let parts = path.trim_start_matches("src/").split('/').count();
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// What a pure room never holds.
const IMPURE: &[&str] = &[
    "async",
    ".await",
    "tokio",
    "hyper",
    "std::thread::sleep",
    "SystemTime",
    "Instant::now",
    "SystemClock",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
    "tracing",
    "prometheus",
    "prometheus_client",
    "fastrand::Rng::new",
    "thread_rng",
    "rand::random",
    "getrandom",
];

pub fn purity(file: &File) -> Vec<(usize, String)> {
    // The one place that asks the machine for the time.
    if !is_core(file) || file.path == "src/clock.rs" {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for (line, code) in file.lines(false) {
        for word in IMPURE.iter().filter(|word| find_word(code, word).is_some()) {
            breaches.push((line, format!("a pure room holds `{word}`")));
        }
        // A free function of fastrand draws from a generator that nobody seeded.
        for name in names_after(code, "fastrand").iter().filter(|name| name.starts_with(char::is_lowercase)) {
            breaches.push((line, format!("a pure room holds `fastrand::{name}`")));
        }
    }
    for (line, statement) in joined_uses(file).iter().filter(|(line, _)| !file.test[*line]) {
        for name in names_after(statement, "std").iter().filter(|name| ["fs", "net", "process", "env"].contains(name)) {
            breaches.push((*line, format!("a pure room holds `std::{name}`")));
        }
    }
    breaches
}
