//! Rules: TOML into a checked ruleset.

mod expr;
mod lex;
mod names;
mod never;
mod parse;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use expr::Guard;
pub use expr::{Expr, Name, Number, View};
pub use names::Names;

use super::pan::holds_card_number;
use super::{Decision, Fault};
use crate::scoring::hash::hash64;

/// More rules than this are a mistake.
pub const MAX_RULES: usize = 1_000;
const MAX_MESSAGE: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    #[serde(default)]
    rules: Vec<toml::Spanned<toml::Value>>,
}

/// A rule as it was typed.
#[derive(Debug, Default)]
struct RawRule {
    id: String,
    when: String,
    action: String,
    mode: Option<String>,
    score: Option<i64>,
    message: String,
}

impl RawRule {
    /// As far as it can be understood; `fault` is told what is of another type, missing or not known. None where that leaves
    /// no rule.
    fn read(value: toml::Value, mut fault: impl FnMut(&str, String)) -> Option<RawRule> {
        let toml::Value::Table(mut table) = value else {
            fault("", "must be a table".to_owned());
            return None;
        };
        let mut is_whole = true;
        let mut text = |key: &str, is_required: bool| match table.remove(key) {
            Some(toml::Value::String(text)) => Some(text),
            Some(other) => {
                fault(key, format!("must be a text, not {}", what(&other)));
                is_whole = false;
                None
            }
            None if is_required => {
                fault(key, "is required".to_owned());
                is_whole = false;
                None
            }
            None => None,
        };
        let [id, when, action] = ["id", "when", "action"].map(|key| text(key, true));
        let [mode, message] = ["mode", "message"].map(|key| text(key, false));
        let score = match table.remove("score") {
            Some(toml::Value::Integer(score)) => Some(score),
            Some(other) => {
                fault("score", format!("must be a whole number, not {}", what(&other)));
                is_whole = false;
                None
            }
            None => None,
        };
        for key in table.keys() {
            let key = if holds_card_number(key) { "(number)" } else { key };
            fault(key, "is not known: a rule has id, when, action, mode, score and message".to_owned());
            is_whole = false;
        }
        let message = message.unwrap_or_default();
        is_whole.then_some(RawRule { id: id?, when: when?, action: action?, mode, score, message })
    }
}

fn what(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a text",
        toml::Value::Integer(_) | toml::Value::Float(_) => "this number",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

/// A rule in force.
#[derive(Debug)]
pub struct Rule {
    pub id: String,
    pub when: Expr,
    guard: Option<Guard>,
    pub action: Decision,
    pub shadow: bool,
    /// The risk score is at least this where the rule matches.
    pub score: Option<i64>,
    pub message: String,
    /// The names that it compares with numbers, and what they are called.
    pub compared: Vec<(Name, String)>,
    /// Whether it asks for the risk score, and so comes after those that make it.
    pub asks_score: bool,
    /// A hash of all of it as it was typed.
    typed: u64,
    /// Checks that it matched since it was put as it is.
    pub hits: Arc<AtomicU64>,
}

/// A checked ruleset.
#[derive(Debug, Default)]
pub struct Rules {
    pub rules: Vec<Rule>,
    /// Names of the lists that they look into.
    pub lists: Vec<String>,
    /// As it was typed.
    pub toml: String,
    /// Rules that are not in force, for they name what is not there any more.
    pub left_out: Vec<Fault>,
}

impl Rules {
    /// Checks a ruleset as a whole: every fault, with the line of its rule.
    pub fn parse(text: &str, names: &Names) -> Result<Rules, Vec<Fault>> {
        let (rules, faults) = Rules::read(text, names)?;
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }

    /// A ruleset that was taken once, over today's names. Rules that cannot be understood any more are left out.
    pub fn parse_again(text: &str, names: &Names) -> Result<Rules, Vec<Fault>> {
        Rules::read(text, names).map(|(rules, _)| rules)
    }

    /// Rules that are the same as before go on with their hits.
    pub fn keep_hits(&mut self, before: &Rules) {
        for rule in &mut self.rules {
            if let Some(same) = before.rules.iter().find(|same| same.id == rule.id && same.typed == rule.typed) {
                rule.hits = same.hits.clone();
            }
        }
    }

    /// What of it can be understood, and all faults.
    fn read(text: &str, names: &Names) -> Result<(Rules, Vec<Fault>), Vec<Fault>> {
        let raw: RawRules = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            vec![Fault::new("", format!("line {line}: {}", e.message()))]
        })?;
        if raw.rules.len() > MAX_RULES {
            return Err(vec![Fault::new("/rules", format!("there are more than {MAX_RULES}"))]);
        }
        let (mut rules, mut lists, mut faults, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, spanned) in raw.rules.into_iter().enumerate() {
            let line = line_of(text, spanned.span().start);
            let value = spanned.into_inner();
            let id = value.get("id").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
            let id = if holds_card_number(&id) { "(number)" } else { &id };
            let mut fault = |key: &str, message: String| {
                let key = key.replace('~', "~0").replace('/', "~1");
                let at = if key.is_empty() { String::new() } else { format!("/{key}") };
                faults.push(Fault::new(format!("/rules/{number}{at}"), format!("line {line}, rule {id:?}: {message}")));
            };
            let Some(raw) = RawRule::read(value, &mut fault) else { continue };
            let typed = hash64(0, format!("{raw:?}").as_bytes());
            let id_fits = !raw.id.is_empty()
                && raw.id.len() <= 64
                && raw.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            if !id_fits || holds_card_number(&raw.id) {
                fault("id", "must be 1 to 64 letters, digits, _, - or .".to_owned());
            }
            if rules.iter().any(|rule: &Rule| rule.id == raw.id) {
                fault("id", "stands twice".to_owned());
            }
            let action = Decision::parse(&raw.action);
            if action.is_none() {
                fault("action", "must be allow, review, challenge or deny".to_owned());
            }
            let shadow = match raw.mode.as_deref() {
                None | Some("live") => false,
                Some("shadow") => true,
                Some(_) => {
                    fault("mode", "must be live or shadow".to_owned());
                    false
                }
            };
            if raw.score.is_some_and(|score| !(0..=99).contains(&score)) {
                fault("score", "must be from 0 to 99".to_owned());
            }
            if raw.message.len() > MAX_MESSAGE || holds_card_number(&raw.message) {
                fault("message", format!("must have at most {MAX_MESSAGE} bytes and no card number"));
            }
            let when = match parse::parse(&raw.when, names, &mut lists) {
                Ok(when) => when,
                Err(message) => {
                    fault("when", message);
                    left_out.extend(faults.last().cloned());
                    continue;
                }
            };
            if never::never_holds(&when, names, &lists) {
                fault("when", "can never hold".to_owned());
            }
            let asks_score = asks(&when, Name::RiskScore);
            if asks_score && raw.score.is_some() {
                fault("score", "is of no use to a rule that asks for risk_score: it would ask for itself".to_owned());
            }
            let mut compared = Vec::new();
            note_compared(&when, names, &mut compared);
            let Some(action) = action else { continue };
            let (id, score, message) = (raw.id, raw.score, raw.message);
            let (guard, hits) = (Guard::of(&when), Arc::default());
            rules.push(Rule { id, when, guard, action, shadow, score, message, compared, asks_score, typed, hits });
        }
        // Rules are logged and shown as they were typed, conditions and comments too.
        if faults.is_empty() && text.lines().any(holds_card_number) {
            faults.push(Fault::new("", "there is a card number in it"));
        }
        Ok((Rules { rules, lists, toml: text.to_owned(), left_out }, faults))
    }
}

impl Rule {
    /// False where [`Rule::matches`] would be, for most rules and at little cost.
    #[inline]
    pub fn may_match(&self, view: &View) -> bool {
        self.guard.is_none_or(|guard| guard.holds(view))
    }

    pub fn matches(&self, view: &View) -> bool {
        let matches = self.when.value(view) == Some(true);
        if matches {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        matches
    }

    /// The first comparison of a number by which it matched: what the number is called, itself, and what it was compared with,
    /// which is NaN for several.
    pub fn why(&self, view: &View) -> Option<(&str, f64, f64)> {
        let (name, threshold) = self.when.why(true, view)?;
        let (_, text) = self.compared.iter().find(|(other, _)| *other == name)?;
        Some((text, view.number(name), threshold))
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

fn parts(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts,
        Expr::Not(part) => std::slice::from_ref(part),
        _ => &[],
    }
}

/// Whether the condition asks for a name.
fn asks(expr: &Expr, name: Name) -> bool {
    fn number(of: &Number, name: Name) -> bool {
        match of {
            Number::Literal(_) => false,
            Number::Of(other) => *other == name,
            Number::Negated(of) => number(of, name),
            Number::Sum(s) | Number::Difference(s) | Number::Product(s) | Number::Quotient(s) => {
                number(&s.0, name) || number(&s.1, name)
            }
        }
    }
    match expr {
        Expr::Numbers(_, a, b) => number(a, name) || number(b, name),
        Expr::InNumbers(of, _) => number(of, name),
        Expr::Missing(other) => *other == name,
        other => parts(other).iter().any(|part| asks(part, name)),
    }
}

fn note_compared(expr: &Expr, names: &Names, found: &mut Vec<(Name, String)>) {
    match expr {
        Expr::Numbers(_, a, b) => [a, b].into_iter().for_each(|side| note_name(side, names, found)),
        Expr::InNumbers(number, _) => note_name(number, names, found),
        other => parts(other).iter().for_each(|part| note_compared(part, names, found)),
    }
}

fn note_name(number: &Number, names: &Names, found: &mut Vec<(Name, String)>) {
    if let Number::Of(name) = number
        && found.iter().all(|(other, _)| other != name)
    {
        found.push((*name, names.text(*name).to_owned()));
    }
}
