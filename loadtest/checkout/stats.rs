//! What became of fraud checks.

use crate::series::End;
use crate::stats::Times;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How an answer broke the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Unreadable,
    NoId,
    Score,
    ReplayedAtOnce,
    OtherReplay,
    NotReplayed,
    NotTaken,
}

impl Fault {
    pub fn text(self) -> &'static str {
        match self {
            Fault::Unreadable => "a check's answer is not JSON with id, decision, risk_score and degraded",
            Fault::NoId => "a check's id is not one that a path can carry",
            Fault::Score => "a risk_score is above 99",
            Fault::ReplayedAtOnce => "the first answer to a check says Idempotent-Replayed",
            Fault::OtherReplay => "a repeated check got another answer",
            Fault::NotReplayed => "the answer to a repeated check does not say Idempotent-Replayed",
            Fault::NotTaken => "an outcome or label of a known check was not answered 204",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Allow,
    Review,
    Challenge,
    Deny,
}

impl Decision {
    pub fn end(&self) -> End {
        match self {
            Decision::Allow => End::Allow,
            Decision::Review => End::Review,
            Decision::Challenge => End::Challenge,
            Decision::Deny => End::Deny,
        }
    }
}

/// What is read of an answer.
#[derive(Deserialize)]
pub struct Answer {
    pub id: String,
    pub decision: Decision,
    risk_score: f64,
    pub degraded: bool,
}

impl Answer {
    pub fn read(body: &[u8]) -> Result<Answer, Fault> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| Fault::Unreadable)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if answer.id.is_empty() || answer.id.len() > 256 || !answer.id.bytes().all(plain) {
            return Err(Fault::NoId);
        }
        if !(0.0..=99.0).contains(&answer.risk_score) {
            return Err(Fault::Score);
        }
        Ok(answer)
    }
}

#[derive(Default)]
pub struct CheckStats {
    /// From the planned send time to the end of the answer.
    pub latency: Times,
    /// From the actual send time.
    pub service: Times,
    /// Repeats, outcomes and labels, from their planned time.
    pub after: Times,
    /// By decision, in the order of [`End`].
    pub decisions: BTreeMap<&'static str, u64>,
    pub degraded: u64,
    /// Answers other than 200, by status.
    pub statuses: BTreeMap<u16, u64>,
    pub timeouts: u64,
    pub connection_errors: u64,
    pub faults: BTreeMap<Fault, u64>,
    pub repeats: u64,
    pub outcomes: u64,
    pub labels: u64,
    /// Repeats, outcomes and labels that got no answer, or a 5xx or 429.
    pub after_failed: u64,
    pub after_unsent: u64,
}

impl CheckStats {
    /// Checks that got any HTTP answer.
    pub fn answered(&self) -> u64 {
        let unreadable = [Fault::Unreadable, Fault::NoId, Fault::Score];
        let spoilt: u64 = unreadable.iter().filter_map(|fault| self.faults.get(fault)).sum();
        self.decisions.values().sum::<u64>() + self.statuses.values().sum::<u64>() + spoilt
    }

    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub fn merge(&mut self, other: &CheckStats) {
        let CheckStats {
            latency,
            service,
            after,
            decisions,
            degraded,
            statuses,
            timeouts,
            connection_errors,
            faults,
            repeats,
            outcomes,
            labels,
            after_failed,
            after_unsent,
        } = other;
        self.latency.merge(latency);
        self.service.merge(service);
        self.after.merge(after);
        decisions.iter().for_each(|(name, count)| *self.decisions.entry(name).or_default() += count);
        statuses.iter().for_each(|(status, count)| *self.statuses.entry(*status).or_default() += count);
        faults.iter().for_each(|(fault, count)| *self.faults.entry(*fault).or_default() += count);
        self.degraded += degraded;
        self.timeouts += timeouts;
        self.connection_errors += connection_errors;
        self.repeats += repeats;
        self.outcomes += outcomes;
        self.labels += labels;
        self.after_failed += after_failed;
        self.after_unsent += after_unsent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_must_have() {
        let read = |text: &str| Answer::read(text.as_bytes()).map(|answer| answer.decision.end());
        let good = r#"{"id":"chk_1","decision":"review","risk_score":66,"degraded":false}"#;
        assert_eq!(read(good), Ok(End::Review));
        for (from, to, fault) in [
            ("review", "maybe", Fault::Unreadable),
            ("false", "0", Fault::Unreadable),
            ("66", "100", Fault::Score),
            ("chk_1", "a/b", Fault::NoId),
            ("\"degraded\"", "\"other\"", Fault::Unreadable),
        ] {
            assert_eq!(read(&good.replace(from, to)), Err(fault), "{to}");
        }
    }
}
