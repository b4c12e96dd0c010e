//! Edits of lists by REST: their bodies, and what they and those of rules come to, as the log tells.

use std::sync::Arc;

use super::body::{Object, json};
use super::lists::{Entry, Kind, List, MAX_ENTRIES, MAX_LISTS, Ready};
use super::policy::Lists;
use super::{Fault, Faults};
use crate::clock::UnixMs;
use crate::event::fraud::FraudEvent;

/// Rules and lists that REST put, as the log tells.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    pub rules: Option<String>,
    /// Those of the config's file that a start had in force last.
    pub file_rules: Option<String>,
    pub lists: Lists,
}

impl Edits {
    /// Follows one event of this time. What cannot be understood any more is left out.
    pub fn apply(&mut self, event: &FraudEvent, at: UnixMs) {
        // What is wrong with an edit was said when it came. A list that nobody had put was there all the same, and empty.
        if let FraudEvent::ListEntries { name, .. } | FraudEvent::ListEntryRemoved { name, .. } = event {
            self.lists.entry(name.clone()).or_insert_with(|| Arc::new(List::new(Kind::Exact)));
        }
        match event {
            FraudEvent::Rules { toml } => self.rules = Some(toml.clone()),
            FraudEvent::FileRules { toml } => self.file_rules = Some(toml.clone()),
            FraudEvent::List { name, json } => {
                if let Ok((Some(kind), entries, _)) = read_list(json.as_bytes()) {
                    let mut list = List::new(kind);
                    list.put(entries, at);
                    self.lists.insert(name.clone(), Arc::new(list));
                }
            }
            FraudEvent::ListEntries { name, json } => {
                let Some(list) = self.lists.get_mut(name) else { return };
                if let Ok((entries, _)) = read_entries(list.kind, json.as_bytes()) {
                    Arc::make_mut(list).put(entries, at);
                }
            }
            FraudEvent::ListEntryRemoved { name, value } => drop(remove_entry(&mut self.lists, name, value, at)),
            _ => {}
        }
    }
}

/// Why a list was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEdit {
    NotFound(String),
    Syntax(Fault),
    Faults(Faults),
}

/// Puts a whole list. After an error the lists are of no use.
pub fn put_list(lists: &mut Lists, name: &str, json: &[u8], now: UnixMs) -> Result<(), NoEdit> {
    let (kind, entries, mut faults) = read_list(json).map_err(NoEdit::Syntax)?;
    if !lists.contains_key(name) && lists.len() >= MAX_LISTS {
        faults.push("", format!("there are {MAX_LISTS} lists, more are not taken"));
    }
    let mut list = List::new(kind.unwrap_or(Kind::Exact));
    list.put(entries, now);
    checked(&list, faults)?;
    lists.insert(name.to_owned(), Arc::new(list));
    Ok(())
}

/// Adds entries, or changes when they expire: one, or `{"entries": [...]}`. After an error the lists are of no use.
pub fn add_entries(lists: &mut Lists, name: &str, json: &[u8], now: UnixMs) -> Result<(), NoEdit> {
    let Some(list) = lists.get_mut(name) else { return Err(no_list(name)) };
    let (entries, faults) = read_entries(list.kind, json).map_err(NoEdit::Syntax)?;
    if faults.is_empty() {
        Arc::make_mut(list).put(entries, now);
    }
    checked(list, faults)
}

/// Takes an entry out. After an error the lists are of no use.
pub fn remove_entry(lists: &mut Lists, name: &str, value: &str, now: UnixMs) -> Result<(), NoEdit> {
    let Some(list) = lists.get_mut(name) else { return Err(no_list(name)) };
    if !list.has(value) || !Arc::make_mut(list).remove(value, now) {
        return Err(NoEdit::NotFound("the list has no such entry".to_owned()));
    }
    Ok(())
}

fn no_list(name: &str) -> NoEdit {
    NoEdit::NotFound(format!("there is no list {name:?}"))
}

fn checked(list: &List, mut faults: Faults) -> Result<(), NoEdit> {
    if list.len() > MAX_ENTRIES {
        faults.push("/entries", format!("a list holds at most {MAX_ENTRIES}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(NoEdit::Faults(faults)) }
}

type Read = (Option<Kind>, Vec<Ready>, Faults);

/// Kind and entries as far as they are fine, and what is not.
fn read_list(body: &[u8]) -> Result<Read, Fault> {
    let (mut faults, mut kind, mut entries) = (Faults::default(), None, Vec::new());
    let Some(mut object) = Object::of(json(body, "")?, String::new(), &mut faults) else {
        return Ok((None, entries, faults));
    };
    if let Some(text) = object.required("kind", &mut faults) {
        kind = Kind::parse(&text);
        if kind.is_none() {
            faults.push("/kind", "must be exact, cidr, bin or domain");
        }
    }
    // Of no kind they can still be read, to say what is wrong with them.
    read_many(kind, &mut object, &mut entries, &mut faults);
    object.end(&mut faults);
    Ok((kind, entries, faults))
}

fn read_entries(kind: Kind, body: &[u8]) -> Result<(Vec<Ready>, Faults), Fault> {
    let (mut faults, mut entries) = (Faults::default(), Vec::new());
    let Some(mut object) = Object::of(json(body, "")?, String::new(), &mut faults) else {
        return Ok((entries, faults));
    };
    if object.has("entries") {
        read_many(Some(kind), &mut object, &mut entries, &mut faults);
        object.end(&mut faults);
    } else {
        entries.extend(read_one(Some(kind), object, &mut faults));
    }
    Ok((entries, faults))
}

fn read_many(kind: Option<Kind>, object: &mut Object, entries: &mut Vec<Ready>, faults: &mut Faults) {
    for (number, value) in object.list("entries", faults).unwrap_or_default().into_iter().enumerate() {
        let entry = Object::of(value, format!("/entries/{number}"), faults);
        entries.extend(entry.and_then(|entry| read_one(kind, entry, faults)));
    }
}

fn read_one(kind: Option<Kind>, mut object: Object, faults: &mut Faults) -> Option<Ready> {
    let value = object.required("value", faults);
    let expires_at = object.text("expires_at", faults).map(|text| text.into_owned());
    let at = |key| object.at(key);
    let ready = value.zip(kind).and_then(|(value, kind)| {
        let entry = Entry { value: value.into_owned(), expires_at };
        kind.ready(&entry).map_err(|(key, message)| faults.push(at(key), message)).ok()
    });
    object.end(faults);
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_795_000_000_000);

    fn put(lists: &mut Lists, json: &str) -> Result<(), NoEdit> {
        put_list(lists, "l", json.as_bytes(), NOW)
    }

    fn pointers(edited: Result<(), NoEdit>) -> Vec<String> {
        let Err(NoEdit::Faults(faults)) = edited else { panic!("{edited:?}") };
        faults.listed().into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn every_fault_of_a_body_has_its_place() {
        let lists = &mut Lists::default();
        for (json, expected) in [
            ("[]", vec![""]),
            ("{}", vec!["/kind", "/entries"]),
            (r#"{"kind": 5, "entries": {}}"#, vec!["/kind", "/entries"]),
            (r#"{"kind": "other", "entries": [1], "a/b": 0}"#, vec!["/kind", "/entries/0", "/a~1b"]),
            (
                r#"{"kind": "bin", "entries": [{"value": "4242"}, {"value": 4242}, {}, {"value": "42424242", "expires_at": 5},
                    {"value": "424242424", "expires": "x"}, {"value": "4242", "value": "4243"}]}"#,
                vec![
                    "/entries/1/value",
                    "/entries/2/value",
                    "/entries/3/expires_at",
                    "/entries/4/value",
                    "/entries/4/expires",
                    "/entries/5/value",
                ],
            ),
        ] {
            assert_eq!(pointers(put(lists, json)), expected, "{json}");
        }
        put(lists, r#"{"kind": "exact", "entries": []}"#).unwrap();
        for (json, expected) in [
            (r#"{"value": null}"#, vec!["/value"]),
            (r#"{"entries": [{"value": "x"}, "y"], "kind": "exact"}"#, vec!["/entries/1", "/kind"]),
        ] {
            assert_eq!(pointers(add_entries(lists, "l", json.as_bytes(), NOW)), expected, "{json}");
        }
        let Err(NoEdit::Syntax(fault)) = put(lists, "{\"kind\": \"4111111111111111\"") else { panic!() };
        assert!(fault.message.starts_with("is not JSON") && !fault.message.contains("4111"), "{fault:?}");
        let many: Vec<String> = (0..150).map(|_| "{\"value\": 1}".to_owned()).collect();
        let many = pointers(put(lists, &format!(r#"{{"kind": "exact", "entries": [{}]}}"#, many.join(","))));
        assert_eq!((many.len(), many[99].as_str()), (101, "/entries/99/value"));
    }

    #[test]
    fn what_has_expired_is_dropped_with_the_next_edit_and_takes_no_room() {
        let mut lists = Lists::default();
        let entries: Vec<String> = (0..1_000)
            .map(|i| format!(r#"{{"value": "e{i}", "expires_at": "{}"}}"#, NOW.plus(if i < 990 { 500 } else { 5_000 })))
            .collect();
        put(&mut lists, &format!(r#"{{"kind": "exact", "entries": [{}]}}"#, entries.join(","))).unwrap();
        assert_eq!(lists["l"].len(), 1_000);
        let before = lists.clone();
        add_entries(&mut lists, "l", br#"{"value": "new"}"#, NOW.plus(1_000)).unwrap();
        assert_eq!((lists["l"].len(), before["l"].len()), (11, 1_000), "who had the list has it as it was");
        assert!(!lists["l"].holds("e0", NOW) && lists["l"].holds("e999", NOW) && lists["l"].holds("new", NOW));
        // One that comes expired takes out what was there.
        add_entries(&mut lists, "l", br#"{"value": "new", "expires_at": "2020-01-01T00:00:00Z"}"#, NOW).unwrap();
        assert_eq!(lists["l"].len(), 10);
        remove_entry(&mut lists, "l", "e995", NOW.plus(1_000)).unwrap();
        assert_eq!(
            remove_entry(&mut lists, "l", "e995", NOW),
            Err(NoEdit::NotFound("the list has no such entry".into()))
        );
        remove_entry(&mut lists, "l", "e996", NOW.plus(6_000)).unwrap();
        assert_eq!(lists["l"].len(), 0);
    }

    #[test]
    fn a_log_of_before_says_what_can_still_be_understood() {
        let mut edits = Edits::default();
        let json = r#"{"kind": "bin", "entries": [{"value": "42424242424"}, {"value": "5555"}]}"#.to_owned();
        edits.apply(&FraudEvent::List { name: "l".into(), json }, NOW);
        assert_eq!((edits.lists["l"].len(), edits.lists["l"].holds("55551111", NOW)), (1, true));
        edits.apply(&FraudEvent::ListEntries { name: "block".into(), json: r#"{"value": "x"}"#.into() }, NOW);
        edits.apply(&FraudEvent::ListEntryRemoved { name: "l".into(), value: "5555".into() }, NOW);
        assert_eq!((edits.lists["l"].len(), edits.lists["block"].len()), (0, 1));
    }
}
