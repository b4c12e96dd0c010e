//! `POST /v1/fraud/checks/{id}/outcome` and `POST /v1/fraud/labels`.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;

use super::super::problem::Problem;
use super::super::routes::{Answer, status};
use super::check::{card_numbers, no_check};
use super::{Call, unavailable};
use crate::event::Event;
use crate::event::fraud::{self, FraudEvent};
use crate::fraud::engine::merchant_number;
use crate::fraud::report::{self, Labelled, Refused};
use crate::fraud::store::check_id;
use crate::fraud::{Fault, answer};

/// Labels that go into the log together.
const TOGETHER: usize = 1_000;

impl Call<'_> {
    pub(super) async fn outcome(&self, id: &str, body: Bytes) -> Result<Answer, Problem> {
        let outcome = report::outcome(&body, self.worker.traffic.clock.now()).map_err(|why| refused(why, ""))?;
        let merchant = self.caller.merchant.map(merchant_number);
        let check = answer::parse_id(id).ok_or_else(no_check)?;
        self.fraud.engine.store.find(check, merchant).ok_or_else(no_check)?;
        let report::Outcome { status, response_code, occurred_at } = outcome;
        let outcome = fraud::Outcome { check, status, response_code, occurred_at };
        self.durable(&[Event::Fraud(FraudEvent::Outcome(outcome))]).await?;
        self.count("outcome", "noted", 1);
        Ok(status_no_content())
    }

    /// One label, or one in each line. With a fault in any of them nothing is changed.
    pub(super) async fn labels(&self, body: Bytes) -> Result<Answer, Problem> {
        let many = self.head.headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).is_some_and(|t| {
            t.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/x-ndjson"))
        });
        let now = self.worker.traffic.clock.now();
        let label = |line: &[u8], place: &str| {
            let label = report::label(line, self.caller.merchant, now).map_err(|why| refused(why, place))?;
            match self.caller.merchant {
                Some(own) if own != label.merchant => {
                    let detail = "the API key is another merchant's";
                    Err(Problem::new(StatusCode::FORBIDDEN, "other_merchant", detail))
                }
                _ => Ok(label),
            }
        };
        let labels: Vec<Labelled> = if many {
            let lines = body.split(|b| *b == b'\n').enumerate();
            let lines = lines.filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace));
            lines.map(|(number, line)| label(line, &format!("/{number}"))).collect::<Result<_, _>>()?
        } else {
            vec![label(&body, "")?]
        };
        let (mut events, mut known) = (Vec::with_capacity(labels.len()), 0);
        for label in labels {
            let check = check_id(&label.merchant, &label.transaction);
            known += u64::from(self.fraud.engine.store.contains(check));
            let Labelled { label, source, reason_code, occurred_at, reported_at, .. } = label;
            let label = fraud::Labelled { check, label, source, reason_code, occurred_at, reported_at };
            events.push(Event::Fraud(FraudEvent::Label(label)));
        }
        for chunk in events.chunks(TOGETHER) {
            self.durable(chunk).await?;
        }
        self.count("label", "noted", known);
        self.count("label", "unknown_transaction", events.len() as u64 - known);
        Ok(status_no_content())
    }

    /// Waits until the events are durable and in force.
    async fn durable(&self, events: &[Event]) -> Result<(), Problem> {
        self.worker.traffic.log.append_durable(self.worker.lane, events).await.map_err(unavailable)
    }

    fn count(&self, kind: &'static str, result: &'static str, n: u64) {
        let labels = [("kind", kind), ("outcome", result)];
        self.worker.traffic.metrics.counters.fraud_reports.get_or_create(&labels).inc_by(n);
    }
}

fn status_no_content() -> Answer {
    status(StatusCode::NO_CONTENT)
}

fn refused(why: Refused, place: &str) -> Problem {
    match why {
        Refused::Syntax(detail) => {
            let at = place.strip_prefix('/').map(|line| format!(", line {line} from 0")).unwrap_or_default();
            Problem::new(StatusCode::BAD_REQUEST, "not_json", format!("the body is not what it must be{at}: {detail}"))
        }
        Refused::CardNumber(pointer) => {
            card_numbers(vec![Fault::new(format!("{place}{pointer}"), "holds a card number")])
        }
        Refused::Faults(faults) => {
            let faults = faults.into_iter().map(|f| Fault::new(format!("{place}{}", f.pointer), f.message)).collect();
            Problem::faults("invalid", "the body has faults", faults)
        }
    }
}
