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
use crate::eventlog::AppendError;
use crate::fraud::answer;
use crate::fraud::engine::merchant_number;
use crate::fraud::report::{self, Labelled, Refused, Times};
use crate::fraud::store::check_id;

/// Labels that go into the log together.
const TOGETHER: usize = 1_000;

impl Call<'_> {
    pub(super) async fn outcome(&self, id: &str, body: Bytes) -> Result<Answer, Problem> {
        let outcome = report::outcome(&body, self.times()).map_err(refused)?;
        let merchant = self.caller.merchant.map(merchant_number);
        let check = answer::parse_id(id).ok_or_else(no_check)?;
        self.fraud.engine.store.find(check, merchant).ok_or_else(no_check)?;
        let report::Outcome { status, response_code, occurred_at } = outcome;
        let outcome = fraud::Outcome { check, status, response_code, occurred_at };
        self.durable(&[Event::Fraud(FraudEvent::Outcome(outcome))]).await.map_err(unavailable)?;
        self.count("outcome", "noted", 1);
        Ok(status_no_content())
    }

    /// One label, or one in each line. With a fault in any of them nothing is changed; each is named.
    pub(super) async fn labels(&self, body: Bytes) -> Result<Answer, Problem> {
        let many = self.head.headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).is_some_and(|t| {
            t.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/x-ndjson"))
        });
        let (own, times) = (self.caller.merchant, self.times());
        let labels = match many {
            true => report::labels(&body, own, times),
            false => report::label(&body, own, times).map(|label| vec![label]),
        };
        let labels = labels.map_err(refused)?;
        if own.is_some_and(|own| labels.iter().any(|label| label.merchant != own)) {
            let detail = "the API key is another merchant's";
            return Err(Problem::new(StatusCode::FORBIDDEN, "other_merchant", detail));
        }
        for (number, together) in labels.chunks(TOGETHER).enumerate() {
            self.note_labels(together).await.map_err(|error| match number * TOGETHER {
                0 => unavailable(error),
                taken => {
                    let all = labels.len();
                    let detail = format!("the first {taken} of {all} labels are taken, the others may not be: {error}");
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", detail)
                }
            })?;
        }
        Ok(status_no_content())
    }

    async fn note_labels(&self, labels: &[Labelled]) -> Result<(), AppendError> {
        let (mut events, mut known) = (Vec::with_capacity(labels.len()), 0);
        for Labelled { merchant, transaction, label, source, reason_code, occurred_at, reported_at } in labels {
            let check = check_id(merchant, transaction);
            known += u64::from(self.fraud.engine.store.contains(check));
            let (label, source, reason_code) = (*label, *source, reason_code.clone());
            let (occurred_at, reported_at) = (*occurred_at, *reported_at);
            let label = fraud::Labelled { check, label, source, reason_code, occurred_at, reported_at };
            events.push(Event::Fraud(FraudEvent::Label(label)));
        }
        self.durable(&events).await?;
        self.count("label", "noted", known);
        self.count("label", "unknown_transaction", events.len() as u64 - known);
        Ok(())
    }

    /// Waits until the events are durable and in force.
    async fn durable(&self, events: &[Event]) -> Result<(), AppendError> {
        self.worker.traffic.log.append_durable(self.worker.lane, events).await
    }

    fn times(&self) -> Times {
        Times { now: self.worker.traffic.clock.now(), max_future_ms: self.fraud.max_future_ms }
    }

    fn count(&self, kind: &'static str, result: &'static str, n: u64) {
        let labels = [("kind", kind), ("outcome", result)];
        self.worker.traffic.metrics.counters.fraud_reports.get_or_create(&labels).inc_by(n);
    }
}

fn status_no_content() -> Answer {
    status(StatusCode::NO_CONTENT)
}

fn refused(Refused { is_syntax, faults, card_numbers: found }: Refused) -> Problem {
    if !found.is_empty() {
        card_numbers(found)
    } else if is_syntax {
        Problem::new(StatusCode::BAD_REQUEST, "not_json", "the body is not JSON, or some of its lines are not")
            .with(faults)
    } else {
        Problem::faults("invalid", "the body has faults", faults)
    }
}
