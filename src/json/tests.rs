//! The scanner against serde_json: the same texts accepted, the same values read.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::chunk::{self, Look, STEP};
use super::escape::{decode, escape_json, find_special};
use super::keys::Key;
use super::scan::{Kind, MAX_DEPTH, ScanError, Scanner};

/// Builds what serde_json would build.
fn value(s: &mut Scanner) -> Result<Value, ScanError> {
    Ok(match s.kind()? {
        Kind::Null => s.null().map(|()| Value::Null)?,
        Kind::Bool => Value::Bool(s.bool()?),
        Kind::String => Value::String(s.string()?.decode().into_owned()),
        Kind::Number => {
            let text = s.number()?;
            serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
        }
        Kind::Array => {
            let mut items = Vec::new();
            s.array(|s| value(s).map(|item| items.push(item)))?;
            Value::Array(items)
        }
        Kind::Object => {
            let mut fields = Map::new();
            s.object(|s, key| value(s).map(|field| drop(fields.insert(key.to_owned(), field))))?;
            Value::Object(fields)
        }
    })
}

fn read(mut s: Scanner) -> Option<Value> {
    let found = value(&mut s).ok()?;
    s.finish().ok()?;
    Some(found)
}

fn skips(text: &str) -> bool {
    let skips = |mut s: Scanner| s.skip().is_ok() && s.finish().is_ok();
    let found = skips(Scanner::new(text));
    assert_eq!(skips(Scanner::at_start(text, false)), found, "{text:?}");
    found
}

/// Deeper than serde_json goes (128), so the two cannot be compared.
fn is_deep(text: &str) -> bool {
    let mut depth = 0i32;
    text.bytes().any(|byte| {
        depth += i32::from(matches!(byte, b'[' | b'{')) - i32::from(matches!(byte, b']' | b'}'));
        depth > 120
    })
}

fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let oracle: Option<Value> = serde_json::from_slice(bytes).ok();
    let Ok(text) = std::str::from_utf8(bytes) else {
        prop_assert!(oracle.is_none());
        return Ok(());
    };
    if is_deep(text) {
        return Ok(());
    }
    prop_assert_eq!(skips(text), oracle.is_some(), "{:?}", text);
    prop_assert_eq!(&read(Scanner::at_start(text, false)), &oracle, "{:?}", text);
    prop_assert_eq!(read(Scanner::new(text)), oracle, "{:?}", text);
    Ok(())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-c]{0,2}|\\PC{0,4}", inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Pieces that JSON is made of, and that break it.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"b\":",
    "true",
    "false",
    "null",
    "tru",
    "nul",
    "0",
    "-",
    "-0",
    "1",
    "01",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+2",
    "1e",
    "1e999",
    "-1e-999",
    "0e999",
    "12345678901234567890",
    "1e308",
    "1e309",
    " ",
    "\n",
    "\t",
    "\r",
    "\\",
    "\\u",
    "\"\\u0041\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ude00\"",
    "\"\\ud83d\\u0041\"",
    "\"\\x\"",
    "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"",
    "\"\u{1}\"",
    "\"\u{7f}\"",
    "\"é\u{1F600}\"",
    "\u{feff}",
    "\0",
    "//",
    "'a'",
    "NaN",
    "Infinity",
    "\u{a0}",
    "\u{c}",
];

/// Texts of such pieces.
pub(crate) fn salad() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        agree(&bytes)?;
    }

    #[test]
    fn any_pieces(text in salad()) {
        agree(text.as_bytes())?;
    }

    #[test]
    fn pieces_in_a_container(text in salad(), open in "[\\[{]") {
        let close = if open == "[" { "]" } else { "}" };
        agree(format!("{open}{text}{close}").as_bytes())?;
    }

    /// Deeper than serde_json goes: what is open is told from its kind at every level.
    #[test]
    fn deep_containers_close_as_they_opened(kinds in prop::collection::vec(any::<bool>(), 1..700), wrong: prop::sample::Index) {
        let open: String = kinds.iter().map(|object| if *object { "{\"a\":1,\"b\":" } else { "[0," }).collect();
        let close: Vec<&str> = kinds.iter().rev().map(|object| if *object { "}" } else { "]" }).collect();
        let reads = |close: &[&str]| skips(&format!("{open}null{}", close.concat()));
        prop_assert!(reads(&close));
        let wrong = wrong.index(close.len());
        let mut other = close.clone();
        other[wrong] = if other[wrong] == "}" { "]" } else { "}" };
        prop_assert!(!reads(&other) && !reads(&close[1..]));
    }

    #[test]
    fn real_json(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        agree(text.unwrap().as_bytes())?;
    }

    #[test]
    fn mutated_json(value in json(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4)) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        for (at, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        agree(&bytes)?;
    }

    #[test]
    fn numbers(text in "-?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{0,3})?") {
        // At the very edge of f64 serde_json rounds its intermediate steps; everywhere else the two agree.
        let edge = text.parse::<f64>().is_ok_and(|x| x.is_infinite() || x.abs() > 1.7e308);
        if !edge {
            agree(text.as_bytes())?;
        }
    }

    #[test]
    fn escaping_round_trips(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let mut out = Vec::new();
        escape_json(&text, &mut out);
        let inside = String::from_utf8(out).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{inside}\"")).unwrap(), text.clone());
        prop_assert_eq!(decode(&inside), text);
    }

    #[test]
    fn the_end_of_a_string_is_found(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0usize..40) {
        let at = at.min(bytes.len());
        let plain = |byte: &u8| *byte != b'"' && *byte != b'\\' && *byte >= 0x20;
        let want = at + bytes[at..].iter().take_while(|byte| plain(byte)).count();
        prop_assert_eq!(find_special(&bytes, at), want);
        let quote = bytes[at..].iter().position(|byte| *byte == b'"').unwrap_or(bytes.len() - at);
        prop_assert_eq!(chunk::find_quote(&bytes[at..]), quote);
        if let Some(chunk) = bytes[at..].first_chunk::<STEP>() {
            prop_assert_eq!(chunk::first_special(chunk), chunk::portable::first_special(chunk));
            prop_assert_eq!(chunk::quotes(chunk), chunk::portable::quotes(chunk));
        }
    }

    #[test]
    fn a_text_is_what_it_looks_like(mut bytes in "[ -~]{0,200}".prop_map(String::into_bytes), at: prop::sample::Index, odd in any::<Option<u8>>()) {
        if let (Some(odd), false) = (odd, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = odd;
        }
        let is_plain = bytes.iter().all(|byte| *byte >= 0x20 && *byte != b'\\');
        prop_assert_eq!(chunk::look(&bytes), Look { is_ascii: bytes.is_ascii(), is_plain });
        prop_assert_eq!(chunk::look_by(&bytes), chunk::look(&bytes));
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nest = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(skips(&nest(MAX_DEPTH)));
        assert_eq!(Scanner::new(&nest(MAX_DEPTH + 1)).skip(), Err(ScanError::TooDeep));
        assert!(skips(&format!("[{},{}]", nest(100), nest(200))));
        let open_only = open.repeat(1_000_000);
        assert_eq!(Scanner::new(&open_only).skip(), Err(ScanError::TooDeep));
    }
}

/// The fixture, cut anywhere or with any one byte changed, is judged as serde_json judges it.
#[test]
fn a_request_broken_anywhere_is_judged_alike() {
    let body = include_bytes!("../../tests/fixtures/openrtb/banner.json");
    for at in 0..body.len() {
        agree(&body[..at]).unwrap();
        for byte in [b'"', b'\\', b'}', b',', b'0', 0, 0xff] {
            let mut changed = body.to_vec();
            changed[at] = byte;
            let (text, oracle) = (std::str::from_utf8(&changed), serde_json::from_slice::<Value>(&changed));
            assert_eq!(text.is_ok_and(skips), oracle.is_ok(), "byte {byte} at {at}");
        }
    }
}

/// However a key is spelled, it is a name if it says the same, and only then.
#[test]
fn keys_that_say_a_name_are_that_name() {
    const NAMES: [&str; 9] = [
        "w",
        "id",
        "imp",
        "bidfloo",
        "bidfloor",
        "bidfloorcur",
        "connectiontype",
        "private_auction",
        "sixteen-letters!",
    ];
    let spelled = |key: &str, escaped: bool| match escaped {
        true => key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>(),
        false => key.to_owned(),
    };
    let check = |key: &str, escaped: bool, behind: &str| {
        let text = format!("{{\"{0}\"{behind}:1,\"{0}\"{behind}:2}}{1}", spelled(key, escaped), " ".repeat(64));
        let (mut s, mut found) = (Scanner::new(&text), Key::NONE);
        for value in [1, 2] {
            assert!(s.key(&mut found).unwrap_or_else(|e| panic!("{text}: {e}")));
            for name in NAMES {
                assert_eq!(found == Key::new(name.as_bytes()), key == name, "{key:?} {name:?}");
            }
            assert_eq!(s.number().unwrap(), value.to_string());
            assert_eq!(s.has_more_fields().unwrap(), value == 1);
        }
        s.finish().unwrap();
    };
    let others = ["", "bidfloo\0", "sixteen-letters", "sixteen-letters!!", "imp\u{e9}", "\u{10ffff}\u{10ffff}"];
    for key in NAMES.into_iter().chain(others) {
        for behind in ["", " ", "\n\t"] {
            if !key.contains('\0') {
                check(key, false, behind);
            }
            check(key, true, behind);
        }
        check(&format!("{key}\0"), true, "");
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(key in "[idw\\PC]{0,18}", escaped: bool)| {
        prop_assume!(!key.contains(['"', '\\']));
        check(&key, escaped, "");
    });
}

/// Of a text that ends where its memory does nothing behind it is read, which Miri would tell.
#[test]
fn what_is_read_at_every_distance_from_the_end() {
    for len in (0..40).step_by(if cfg!(miri) { 7 } else { 1 }) {
        let name = "n".repeat(len);
        let digits = "7".repeat(len);
        for text in [
            format!("{{\"id\":\"{name}r\"}}"),
            format!("{{\"{name}\":1,\"id\":\"r\",\"bcat\":[\"a\",\"{name}\"]}}"),
            format!("[{{\"{name}\":[]}},[{{}}],-1.5e{digits}0]"),
            format!("[1{digits},true,false,null, \"{name}\\n{name}\"]"),
        ] {
            let whole: Box<[u8]> = text.as_bytes().into();
            agree(&whole).unwrap();
            for end in 0..text.len() {
                let part: Box<[u8]> = text.as_bytes()[..end].into();
                assert!(!skips(std::str::from_utf8(&part).unwrap()), "{text:?} up to {end}");
            }
        }
    }
}

#[test]
fn short_integers_are_what_they_say() {
    // Near the end of a text integers are read as other numbers are.
    let read = |text: &str| {
        assert_eq!(Scanner::new(text).short_integer(), None);
        Scanner::new(&format!("{text}{}", " ".repeat(40))).short_integer()
    };
    for (text, value) in
        [("0,       ", 0), ("7}       ", 7), ("10]      ", 10), ("9999999 ", 9_999_999), ("300\u{ff}    ", 300)]
    {
        assert_eq!(read(text), Some(value), "{text}");
    }
    for text in [
        "12345678",
        "99999999 ",
        "01,     ",
        "-1,     ",
        "1.5,    ",
        "1e2,    ",
        "1E2,    ",
        "x       ",
        "/1      ",
        ":1      ",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    proptest!(|(value in 0u32..10_000_000, behind in "[,\\]} \\n:/a]{8}")| {
        let text = format!("{value}{behind}");
        prop_assert_eq!(read(&text), Some(i64::from(value)));
    });
}
