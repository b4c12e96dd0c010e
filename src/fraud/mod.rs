//! Fraud checks: what a checkout asks, and what is answered. Pure: time is passed in.
//!
//! | file | idea |
//! |---|---|
//! | `fields` | the fields of a check by number, and what each holds |
//! | `request`, `pan`, `currency` | a body into values, or every fault of it; card numbers are found and refused |
//! | `canonical` | e-mail addresses, phone numbers and IP addresses in one way of writing |
//! | `velocity` | the declared windows over the engine of `window::sliding` |
//! | `rules` | the rules' language: parsed, typed and proven at load, evaluated over the values without allocation |
//! | `lists` | allow, block and other lists; entries that expire |
//! | `policy` | rules and lists in force, as one snapshot |
//! | `decide` | `check()`: windows, rules, model, decision |
//! | `answer` | the decision as JSON |
//! | `store` | what was checked: idempotency, and what outcomes and labels are about; a fold of the log |
//! | `checkpoint` | all that an engine holds, for the next start |
//! | `engine` | all of it together, and how it follows the log |
//! | `edits` | bodies of lists; what REST changed, as the log tells |
//! | `report` | bodies of outcomes and labels |
//! | `body` | JSON read so that every fault has its pointer |
//! | `traffic` | whether a bid request comes of people: for the bid path |
//! | `demo` | the windows and rules that are served when nothing is configured |

pub mod answer;
mod body;
pub mod canonical;
pub mod checkpoint;
pub mod currency;
pub mod decide;
pub mod demo;
pub mod edits;
pub mod engine;
pub mod fields;
pub mod lists;
pub mod pan;
pub mod policy;
pub mod report;
pub mod request;
pub mod rules;
pub mod store;
pub mod traffic;
pub mod velocity;

pub use decide::{Decided, Scratch, check};
pub use policy::Policy;
pub use request::Request;
pub use velocity::Velocity;

use crate::scoring::fault::cut;

/// One thing that is wrong with what came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901); empty is the whole.
    pub pointer: String,
    pub message: String,
}

/// Longest pointer and message, in bytes; what is longer is cut.
const MAX_POINTER: usize = 256;
const MAX_FAULT_MESSAGE: usize = 1_024;
/// Faults listed of one body, and what they may take in an answer in bytes: a person reads them, and a small request gets no
/// large answer.
pub const MAX_FAULTS: usize = 100;
const MAX_FAULTS_BYTES: usize = 16 << 10;

impl Fault {
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { pointer: cut(pointer.into(), MAX_POINTER), message: cut(message.into(), MAX_FAULT_MESSAGE) }
    }

    /// What it takes in an answer: signs below a space are written in six.
    fn bytes(&self) -> usize {
        let written = |b: u8| if b < b' ' { 6 } else { 1 };
        self.pointer.bytes().chain(self.message.bytes()).map(written).sum::<usize>() + 32
    }
}

/// What is wrong with a body: as many as are listed, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    pub fn push(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.list.len() < MAX_FAULTS {
            self.list.push(Fault::new(pointer, message));
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// As many as an answer lists; a last one says how many it does not.
    pub fn listed(mut self) -> Vec<Fault> {
        let mut bytes = 0;
        let fits = self.list.iter().take_while(|fault| {
            bytes += fault.bytes();
            bytes <= MAX_FAULTS_BYTES
        });
        let (fits, all) = (fits.count(), self.count());
        self.list.truncate(fits);
        if fits < all {
            self.list.push(Fault::new("", format!("{} more are not listed", all - fits)));
        }
        self.list
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(mut list: Vec<Fault>) -> Faults {
        let more = list.len().saturating_sub(MAX_FAULTS);
        list.truncate(MAX_FAULTS);
        Faults { list, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_lists_no_more_faults_than_it_has_room_for() {
        let of = |count: usize, pointer: &str| Faults::from(vec![Fault::new(pointer, "is wrong"); count]).listed();
        assert_eq!(of(100, "/a").len(), 100);
        let more = of(101, "/a");
        assert_eq!((more.len(), more[100].message.as_str()), (101, "1 more are not listed"));
        for pointer in ["x".repeat(60_000), "\u{1}".repeat(60_000), "ä".repeat(60_000)] {
            let faults = of(100, &pointer);
            let bytes = serde_json::to_vec(&faults.iter().map(|f| (&f.pointer, &f.message)).collect::<Vec<_>>());
            assert!(faults.len() > 8 && faults[0].pointer.ends_with('…'));
            assert!(bytes.unwrap().len() < 20_000);
        }
    }
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Review,
    Challenge,
    Deny,
}

impl Decision {
    /// In the order in which they beat one another: allow, deny, challenge, review.
    pub const BY_STRENGTH: [Decision; 4] = [Decision::Allow, Decision::Deny, Decision::Challenge, Decision::Review];

    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Review => "review",
            Decision::Challenge => "challenge",
            Decision::Deny => "deny",
        }
    }

    pub fn parse(text: &str) -> Option<Decision> {
        Decision::BY_STRENGTH.into_iter().find(|decision| decision.as_str() == text)
    }

    /// What a checkout is advised to do.
    pub fn advice(self) -> &'static str {
        match self {
            Decision::Allow => "authorize",
            Decision::Review => "manual_review",
            Decision::Challenge => "three_ds_challenge",
            Decision::Deny => "decline",
        }
    }

    pub fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u8) -> Option<Decision> {
        Decision::BY_STRENGTH.into_iter().find(|decision| decision.number() == number)
    }
}
