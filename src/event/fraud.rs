//! Events of fraud checks: kinds 32 to 47.

use std::sync::Arc;

use crate::clock::UnixMs;
use crate::wire::{Put, Take};

pub const KINDS: std::ops::RangeInclusive<u8> = 32..=47;
/// Hardly a configuration has more windows.
const USUAL_WINDOWS: u32 = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FraudEvent {
    /// Names of the windows whose values checks hold from here on.
    Windows {
        fingerprint: u64,
        names: Vec<String>,
    },
    Check(Arc<Checked>),
    /// The log took longer than the deadline: the check was answered by this decision, whatever was decided.
    Late {
        check: u128,
        decision: u8,
    },
    Outcome(Outcome),
    Label(Labelled),
    /// A ruleset came in force, as it was typed.
    Rules {
        toml: String,
    },
    /// A start has the rules of its config's file in force: no edit, but what a replay needs to know.
    FileRules {
        toml: String,
    },
    /// A list was put, as JSON.
    List {
        name: String,
        json: String,
    },
    /// Entries were added to a list, as JSON.
    ListEntries {
        name: String,
        json: String,
    },
    ListEntryRemoved {
        name: String,
        value: String,
    },
}

impl FraudEvent {
    /// Whether it changes rules or lists.
    pub fn is_edit(&self) -> bool {
        use FraudEvent::{FileRules, List, ListEntries, ListEntryRemoved, Rules};
        matches!(self, Rules { .. } | FileRules { .. } | List { .. } | ListEntries { .. } | ListEntryRemoved { .. })
    }
}

/// A check that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Of merchant and transaction.
    pub check: u128,
    /// Of merchant and idempotency key.
    pub key: u128,
    pub arrived: UnixMs,
    /// Whose key it came with; empty without keys.
    pub merchant: String,
    pub decision: u8,
    /// Which windows the values are of.
    pub windows: u64,
    /// What each window showed: 0 nothing, 1 evicted, 2 a whole number, 3 the bits of an f64.
    pub shown: Vec<(u8, u64)>,
    pub body: Vec<u8>,
    /// The answer up to its offset.
    pub answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Authorized,
    Declined,
    Captured,
    Refunded,
    Canceled,
}

const STATUSES: [(Status, &str); 5] = [
    (Status::Authorized, "authorized"),
    (Status::Declined, "declined"),
    (Status::Captured, "captured"),
    (Status::Refunded, "refunded"),
    (Status::Canceled, "canceled"),
];

impl Status {
    pub fn parse(text: &str) -> Option<Status> {
        STATUSES.iter().find(|(_, name)| *name == text).map(|(status, _)| *status)
    }
}

/// What became of a check's payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub check: u128,
    pub status: Status,
    pub response_code: String,
    pub occurred_at: UnixMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Fraud,
    Legitimate,
}

impl Label {
    pub fn parse(text: &str) -> Option<Label> {
        match text {
            "fraud" => Some(Label::Fraud),
            "legitimate" => Some(Label::Legitimate),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSource {
    Chargeback,
    EarlyFraudWarning,
    ManualReview,
    CustomerReport,
}

const SOURCES: [(LabelSource, &str); 4] = [
    (LabelSource::Chargeback, "chargeback"),
    (LabelSource::EarlyFraudWarning, "early_fraud_warning"),
    (LabelSource::ManualReview, "manual_review"),
    (LabelSource::CustomerReport, "customer_report"),
];

impl LabelSource {
    pub fn parse(text: &str) -> Option<LabelSource> {
        SOURCES.iter().find(|(_, name)| *name == text).map(|(source, _)| *source)
    }
}

/// What a transaction turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    pub check: u128,
    pub label: Label,
    pub source: LabelSource,
    pub reason_code: String,
    pub occurred_at: UnixMs,
    pub reported_at: UnixMs,
}

impl FraudEvent {
    pub(super) fn kind(&self) -> u8 {
        match self {
            FraudEvent::Windows { .. } => 32,
            FraudEvent::Check(_) => 33,
            FraudEvent::Outcome(_) => 34,
            FraudEvent::Label(_) => 35,
            FraudEvent::Rules { .. } => 36,
            FraudEvent::List { .. } => 37,
            FraudEvent::ListEntries { .. } => 38,
            FraudEvent::ListEntryRemoved { .. } => 39,
            FraudEvent::FileRules { .. } => 40,
            FraudEvent::Late { .. } => 41,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            FraudEvent::Windows { fingerprint, names } => {
                out.put_u64(*fingerprint);
                out.put_u32(names.len() as u32);
                names.iter().for_each(|name| out.put_bytes(name.as_bytes()));
            }
            FraudEvent::Check(checked) => {
                put_u128(out, checked.check);
                put_u128(out, checked.key);
                out.put_i64(checked.arrived.0);
                out.put_bytes(checked.merchant.as_bytes());
                out.put_u8(checked.decision);
                out.put_u64(checked.windows);
                out.put_u32(checked.shown.len() as u32);
                for (tag, bits) in &checked.shown {
                    out.put_u8(*tag);
                    if *tag > 1 {
                        out.put_u64(*bits);
                    }
                }
                out.put_bytes(&checked.body);
                out.put_bytes(&checked.answer);
            }
            FraudEvent::Late { check, decision } => {
                put_u128(out, *check);
                out.put_u8(*decision);
            }
            FraudEvent::Outcome(outcome) => {
                put_u128(out, outcome.check);
                out.put_u8(STATUSES.iter().position(|(s, _)| *s == outcome.status).unwrap_or(0) as u8);
                out.put_bytes(outcome.response_code.as_bytes());
                out.put_i64(outcome.occurred_at.0);
            }
            FraudEvent::Label(label) => {
                put_u128(out, label.check);
                out.put_u8(u8::from(label.label == Label::Fraud));
                out.put_u8(SOURCES.iter().position(|(s, _)| *s == label.source).unwrap_or(0) as u8);
                out.put_bytes(label.reason_code.as_bytes());
                out.put_i64(label.occurred_at.0);
                out.put_i64(label.reported_at.0);
            }
            FraudEvent::Rules { toml } | FraudEvent::FileRules { toml } => out.put_bytes(toml.as_bytes()),
            FraudEvent::List { name, json: text }
            | FraudEvent::ListEntries { name, json: text }
            | FraudEvent::ListEntryRemoved { name, value: text } => {
                out.put_bytes(name.as_bytes());
                out.put_bytes(text.as_bytes());
            }
        }
    }

    pub(super) fn decode(kind: u8, t: &mut Take) -> Option<FraudEvent> {
        Some(match kind {
            32 => {
                let (fingerprint, count) = (t.u64()?, t.u32()?);
                let names = (0..count).map(|_| t.string()).collect::<Option<_>>()?;
                FraudEvent::Windows { fingerprint, names }
            }
            33 => FraudEvent::Check(Arc::new(Checked {
                check: take_u128(t)?,
                key: take_u128(t)?,
                arrived: UnixMs(t.i64()?),
                merchant: t.string()?,
                decision: t.u8()?,
                windows: t.u64()?,
                shown: {
                    let count = t.u32()?;
                    // Room for what is usual, whatever the count says.
                    let mut shown = Vec::with_capacity(count.min(USUAL_WINDOWS) as usize);
                    for _ in 0..count {
                        let tag = t.u8().filter(|tag| *tag < 4)?;
                        shown.push((tag, if tag > 1 { t.u64()? } else { 0 }));
                    }
                    shown
                },
                body: t.bytes()?.to_vec(),
                answer: t.bytes()?.to_vec(),
            })),
            34 => FraudEvent::Outcome(Outcome {
                check: take_u128(t)?,
                status: STATUSES.get(usize::from(t.u8()?))?.0,
                response_code: t.string()?,
                occurred_at: UnixMs(t.i64()?),
            }),
            35 => FraudEvent::Label(Labelled {
                check: take_u128(t)?,
                label: match t.u8()? {
                    0 => Label::Legitimate,
                    1 => Label::Fraud,
                    _ => return None,
                },
                source: SOURCES.get(usize::from(t.u8()?))?.0,
                reason_code: t.string()?,
                occurred_at: UnixMs(t.i64()?),
                reported_at: UnixMs(t.i64()?),
            }),
            36 => FraudEvent::Rules { toml: t.string()? },
            37 => FraudEvent::List { name: t.string()?, json: t.string()? },
            38 => FraudEvent::ListEntries { name: t.string()?, json: t.string()? },
            39 => FraudEvent::ListEntryRemoved { name: t.string()?, value: t.string()? },
            40 => FraudEvent::FileRules { toml: t.string()? },
            41 => FraudEvent::Late { check: take_u128(t)?, decision: t.u8()? },
            _ => return None,
        })
    }
}

fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.put(&value.to_le_bytes());
}

fn take_u128(t: &mut Take) -> Option<u128> {
    Some(u128::from(t.u64()?) | u128::from(t.u64()?) << 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn every_kind_round_trips_and_no_prefix_decodes() {
        let (check, at, text) = (u128::MAX - 5, UnixMs(1_795_000_000_000), || "text".to_owned());
        let checked = Checked {
            check,
            key: 7,
            arrived: at,
            merchant: text(),
            decision: 3,
            windows: 9,
            shown: vec![(0, 0), (1, 0), (2, u64::MAX), (3, 1.5f64.to_bits())],
            body: b"{}".to_vec(),
            answer: b"{\"id\":".to_vec(),
        };
        let events = [
            FraudEvent::Windows { fingerprint: 3, names: vec![text(), String::new()] },
            FraudEvent::Check(Arc::new(checked)),
            FraudEvent::Outcome(Outcome { check, status: Status::Canceled, response_code: text(), occurred_at: at }),
            FraudEvent::Label(Labelled {
                check,
                label: Label::Fraud,
                source: LabelSource::CustomerReport,
                reason_code: text(),
                occurred_at: at,
                reported_at: at,
            }),
            FraudEvent::Rules { toml: text() },
            FraudEvent::FileRules { toml: text() },
            FraudEvent::Late { check, decision: 2 },
            FraudEvent::List { name: text(), json: text() },
            FraudEvent::ListEntries { name: text(), json: text() },
            FraudEvent::ListEntryRemoved { name: text(), value: text() },
        ];
        for event in events {
            assert!(KINDS.contains(&event.kind()));
            let event = Event::Fraud(event);
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            assert_eq!(Event::decode(&bytes), Some(event));
            (0..bytes.len()).for_each(|cut| assert_eq!(Event::decode(&bytes[..cut]), None));
        }
    }
}
