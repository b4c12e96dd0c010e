//! User agents of crawlers: one expression of all patterns, and a memory of what was asked lately, for most requests come
//! of few user agents.

use std::sync::atomic::{AtomicU64, Ordering};

use regex::{Regex, RegexBuilder};

use crate::scoring::hash::hash64;

/// User agents that are remembered; each in the place of its hash.
const REMEMBERED: usize = 4_096;
/// No more of one is looked at.
const MAX_BYTES: usize = 1_024;
/// Of the compiled patterns: the largest public list has a tenth of it.
const MAX_COMPILED_BYTES: usize = 64 << 20;
const SEED: u64 = 0x6167_656e_7473;
const IS_KNOWN: u64 = 1 << 63;

#[derive(Debug, Default)]
pub struct Agents {
    patterns: Option<Regex>,
    /// The hash of a user agent, with [`IS_KNOWN`] where it is a crawler's.
    remembered: Box<[AtomicU64]>,
}

/// What is looked for in a user agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// This text, whatever its case.
    Text(String),
    /// This regular expression.
    Expression(String),
}

impl Pattern {
    /// As an expression.
    fn source(&self) -> String {
        match self {
            Pattern::Text(text) if text.is_ascii() => format!("(?i-u:{})", regex::escape(text)),
            Pattern::Text(text) => format!("(?i:{})", regex::escape(text)),
            Pattern::Expression(source) => format!("(?:{source})"),
        }
    }

    /// Whether it can be looked for.
    pub fn check(&self) -> Result<(), String> {
        let expression = Regex::new(&self.source()).map_err(|error| match error {
            regex::Error::Syntax(message) => {
                let last = message.lines().last().unwrap_or_default();
                format!("is not a regular expression: {}", last.trim_start_matches("error: "))
            }
            other => other.to_string(),
        })?;
        if expression.is_match("") { Err("is found in every user agent".to_owned()) } else { Ok(()) }
    }
}

impl Agents {
    /// Of patterns that were checked.
    pub fn of(patterns: &[Pattern]) -> Result<Agents, String> {
        if patterns.is_empty() {
            return Ok(Agents::default());
        }
        let sources: Vec<String> = patterns.iter().map(Pattern::source).collect();
        let all = RegexBuilder::new(&sources.join("|")).size_limit(MAX_COMPILED_BYTES).build();
        let all = all.map_err(|_| format!("the patterns take more than {MAX_COMPILED_BYTES} bytes"))?;
        Ok(Agents { patterns: Some(all), remembered: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Whether it is a crawler's.
    pub fn knows(&self, agent: &str) -> bool {
        let Some(patterns) = &self.patterns else { return false };
        if agent.is_empty() {
            return false;
        }
        let agent = beginning(agent);
        let hash = hash64(SEED, agent.as_bytes());
        let place = &self.remembered[hash as usize % REMEMBERED];
        let seen = place.load(Ordering::Relaxed);
        if (seen ^ hash) & !IS_KNOWN == 0 && seen != 0 {
            return seen & IS_KNOWN != 0;
        }
        let is_known = patterns.is_match(agent);
        place.store(hash & !IS_KNOWN | if is_known { IS_KNOWN } else { 0 }, Ordering::Relaxed);
        is_known
    }
}

/// As much of it as is looked at, in whole characters.
fn beginning(agent: &str) -> &str {
    let fits = |end: &usize| agent.is_char_boundary(*end);
    let end = if agent.len() <= MAX_BYTES { None } else { (0..=MAX_BYTES).rev().find(fits) };
    end.map_or(agent, |end| &agent[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Pattern {
        Pattern::Text(text.to_owned())
    }

    fn expression(source: &str) -> Pattern {
        Pattern::Expression(source.to_owned())
    }

    #[test]
    fn a_text_is_found_in_any_case_and_an_expression_as_it_is() {
        let agents =
            [text("Bot.v1/"), text("bücher"), expression("[wW]get"), expression("^Java\\/"), expression("Q|b$")];
        let agents = Agents::of(&agents).unwrap();
        for (agent, want) in [
            ("x BOT.V1/2", true),
            ("x botxv1/2", false),
            ("BÜCHER", true),
            ("wget", true),
            ("WGET", false),
            ("Java/1.8", true),
            ("x Java/1.8", false),
            ("xxb", true),
            ("bxx", false),
            ("", false),
        ] {
            // Twice: as it is worked out, and as it is remembered.
            assert_eq!((agents.knows(agent), agents.knows(agent)), (want, want), "{agent}");
        }
        assert!(!Agents::default().knows("wget"));
        let long = "ü".repeat(MAX_BYTES);
        assert!(!agents.knows(&format!("{long}wget")) && !agents.knows(&format!("x{long}wget")));
    }

    #[test]
    fn what_is_remembered_is_what_each_pattern_says() {
        let patterns: Vec<Pattern> = (0..200).map(|i| text(&format!("crawler{i}/"))).collect();
        let agents = Agents::of(&patterns).unwrap();
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..50_000 {
            let (kind, number) = (["Crawler", "browser"][rng.usize(..2)], rng.u32(..400));
            let agent = format!("Mozilla/5.0 ({kind}{number}/1.0; {})", rng.u32(..50));
            assert_eq!(agents.knows(&agent), kind == "Crawler" && number < 200, "{agent}");
        }
    }

    #[test]
    fn a_pattern_that_finds_everything_or_is_none_is_refused() {
        for (source, part) in [("x(", "unclosed group"), ("x*", "every user agent"), ("(?=a)", "look-around")] {
            let fault = expression(source).check().unwrap_err();
            assert!(fault.contains(part), "{source}: {fault}");
        }
        assert_eq!(text("x(").check(), Ok(()));
        assert!(text("").check().is_err());
    }
}
