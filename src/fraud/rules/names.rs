//! What rules may name, and what is known of it beforehand.

use super::super::canonical;
use super::super::currency;
use super::super::fields::{self, FIELDS, Kind};
use super::super::lists;
use super::super::request::{EXP_MONTHS, EXP_YEARS, MAX_AMOUNT, MAX_ID, MAX_TEXT};
use super::super::velocity::{Velocity, is_number};
use super::expr::Name;
use crate::ids::Currency;
use crate::window::sliding::Aggregate;

pub struct Names<'n> {
    pub velocity: &'n Velocity,
    /// With the kind of each.
    pub lists: &'n [(String, lists::Kind)],
}

const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

impl Names<'_> {
    /// What a name stands for, and whether that is a text.
    pub fn find(&self, name: &str) -> Option<(Name, bool)> {
        match name {
            "model.score" => return Some((Name::ModelScore, false)),
            "risk_score" => return Some((Name::RiskScore, false)),
            _ => {}
        }
        if let Some(window) = self.velocity.find(name) {
            return Some((Name::Window(window), false));
        }
        let field = fields::find(name)?;
        Some((Name::Field(field), !is_number(FIELDS[field].1)))
    }

    pub fn kind_of(&self, list: &str) -> Option<lists::Kind> {
        self.lists.iter().find(|(name, _)| name == list).map(|(_, kind)| *kind)
    }

    /// The least and the most that a number can be, and whether it is always a whole one.
    pub fn bounds(&self, name: Name) -> (f64, f64, bool) {
        match name {
            Name::ModelScore => (0.0, 1.0, false),
            Name::RiskScore => (0.0, 99.0, true),
            Name::Field(field) => of_field(field),
            Name::Window(window) => {
                let window = &self.velocity.declared()[window];
                let value = window.value.as_deref().and_then(fields::find).map_or((ANY.0, ANY.1, true), of_field);
                match window.aggregate {
                    Aggregate::Count | Aggregate::Distinct => (0.0, ANY.1, true),
                    Aggregate::Share => (0.0, 1.0, false),
                    Aggregate::TimeSince => (0.0, ANY.1, false),
                    Aggregate::Avg => (value.0, value.1, false),
                    Aggregate::Min | Aggregate::Max | Aggregate::Last => value,
                    Aggregate::Sum if value.0 >= 0.0 => (0.0, ANY.1, true),
                    Aggregate::Sum => (ANY.0, ANY.1, true),
                }
            }
        }
    }

    /// Whether a check without it is refused, or it is worked out for every one.
    pub fn is_always_there(&self, name: Name) -> bool {
        match name {
            Name::RiskScore => true,
            Name::Field(field) => {
                [fields::MERCHANT, fields::TRANSACTION, fields::OCCURRED_AT, fields::AMOUNT, fields::CURRENCY]
                    .contains(&field)
                    || (fields::CLOCK..fields::CLOCK + fields::CLOCKS).contains(&field)
            }
            Name::Window(_) | Name::ModelScore => false,
        }
    }

    /// Whether a text can be that.
    pub fn can_be(&self, name: Name, text: &str) -> bool {
        let Name::Field(field) = name else { return true };
        let fits = match FIELDS[field].1 {
            Kind::Digits(least, _) => text.len() >= least,
            _ => !text.is_empty(),
        };
        let is_one = match field {
            fields::CURRENCY => Currency::parse(text).and_then(currency::number).is_some(),
            fields::IP => canonical::ip(text).is_some(),
            fields::IP_PREFIX => text.ends_with("/24") || text.ends_with("/48"),
            _ => true,
        };
        fits && is_one && self.can_have(name, text)
    }

    /// Whether a text can have that in it.
    pub fn can_have(&self, name: Name, part: &str) -> bool {
        let Name::Field(field) = name else { return true };
        let upper = |text: &str| text.bytes().any(|b| b.is_ascii_uppercase());
        match FIELDS[field].1 {
            Kind::Digits(_, most) => part.len() <= most && part.bytes().all(|b| b.is_ascii_digit()),
            Kind::Identifier => part.len() <= MAX_ID,
            _ if [fields::EMAIL, fields::EMAIL_DOMAIN, fields::IP, fields::IP_PREFIX].contains(&field) => {
                part.len() <= MAX_TEXT && !upper(part)
            }
            _ if field == fields::CURRENCY => part.len() <= 3 && part.bytes().all(|b| b.is_ascii_uppercase()),
            _ => part.len() <= MAX_TEXT || FIELDS[field].1.is_derived(),
        }
    }

    /// How a name is written.
    pub fn text(&self, name: Name) -> &str {
        match name {
            Name::ModelScore => "model.score",
            Name::RiskScore => "risk_score",
            Name::Field(field) => FIELDS[field].0,
            Name::Window(window) => &self.velocity.declared()[window].name,
        }
    }
}

/// As a check is read and its fields are derived.
fn of_field(field: usize) -> (f64, f64, bool) {
    let (least, most) = match field {
        fields::AMOUNT => (0.0, MAX_AMOUNT as f64),
        fields::EXP_MONTH => (*EXP_MONTHS.start() as f64, *EXP_MONTHS.end() as f64),
        fields::EXP_YEAR => (*EXP_YEARS.start() as f64, *EXP_YEARS.end() as f64),
        _ => match FIELDS[field].0 {
            "clock.hour" => (0.0, 23.0),
            "clock.day_of_week" => (0.0, 6.0),
            "clock.hour_of_week" => (0.0, 167.0),
            "clock.minute" => (0.0, 59.0),
            "order.items" => (0.0, ANY.1),
            _ => ANY,
        },
    };
    (least, most, true)
}
