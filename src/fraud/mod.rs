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
//! | `report` | bodies of outcomes and labels |
//! | `traffic` | whether a bid request comes of people: for the bid path |
//! | `demo` | the windows and rules that are served when nothing is configured |

pub mod answer;
pub mod canonical;
pub mod checkpoint;
pub mod currency;
pub mod decide;
pub mod demo;
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

/// One thing that is wrong with what came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901); empty is the whole.
    pub pointer: String,
    pub message: String,
}

impl Fault {
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { pointer: pointer.into(), message: message.into() }
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
