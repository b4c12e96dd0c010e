//! `POST /v1/fraud/checks` and `GET /v1/fraud/checks/{id}`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::super::problem::Problem;
use super::super::routes::Answer;
use super::{Call, json, unavailable};
use crate::clock::UnixMs;
use crate::event::fraud::{Checked, FraudEvent};
use crate::event::{Event, Offset};
use crate::eventlog::{EventLog, LogState, Written};
use crate::fraud::engine::{merchant_number, pack};
use crate::fraud::request::Refused;
use crate::fraud::store::Begun;
use crate::fraud::{Decision, Fault, Request, answer, fields};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const MAX_KEY: usize = 255;
/// Largest body of a check: it stands in the log.
const MAX_BODY: usize = 128 << 10;
/// How long an answer that is written and not durable yet is waited for.
const DURABLE_SOON: Duration = Duration::from_secs(2);

/// A decision on its way.
struct Going {
    written: Written,
    checked: Arc<Checked>,
}

/// What became of a check before it was awaited.
enum Next {
    Going(Going),
    Answered(u64, Option<Arc<Checked>>),
}

impl Call<'_> {
    pub(super) async fn check(&self, body: Bytes) -> Result<Answer, Problem> {
        let key = self.head.headers.get(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        if key.is_empty() || key.len() > MAX_KEY {
            let detail = format!("the header Idempotency-Key is required: 1 to {MAX_KEY} bytes");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", detail));
        }
        if body.len() > MAX_BODY {
            let detail = format!("a check has at most {MAX_BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        match self.decide(key, &body)? {
            Next::Going(going) => self.wait(going).await,
            Next::Answered(offset, checked) => {
                let checked = match checked {
                    Some(checked) => checked,
                    None => self.read_back(offset).await?,
                };
                let mut replayed = json(answer::finish(&checked.answer, Some(offset)));
                replayed.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                Ok(replayed)
            }
        }
    }

    /// Everything up to the log: nothing here waits.
    fn decide(&self, key: &[u8], body: &Bytes) -> Result<Next, Problem> {
        let (traffic, engine) = (&self.worker.traffic, &self.fraud.engine);
        let now = traffic.clock.now();
        let request = &mut *self.worker.fraud.request.borrow_mut();
        request.parse(body, self.fraud.strict, self.caller.merchant, now).map_err(|why| refused(why, request))?;
        let merchant = request.text(fields::MERCHANT);
        if self.caller.merchant.is_some_and(|own| own != merchant) {
            let detail = "the API key is another merchant's";
            return Err(Problem::new(StatusCode::FORBIDDEN, "other_merchant", detail));
        }
        let is_full = traffic.log.state() != LogState::Open;
        if let Some(fault) = self.bad_time(request, now)
            && !engine.knows(request, key)
        {
            return Err(Problem::faults("invalid", "the check has faults", vec![fault]));
        }
        if is_full && !engine.knows(request, key) {
            return Err(unavailable("the log takes no checks now"));
        }
        let (check, key, begun) = engine.begin(request, key, body, now);
        match begun {
            Begun::New => {}
            Begun::Answered(offset, checked) => return Ok(Next::Answered(offset, checked)),
            Begun::Unwritten(checked) => return Ok(Next::Going(self.append(checked))),
            Begun::InFlight => {
                let detail = "the check with this Idempotency-Key is being decided";
                return Err(Problem::new(StatusCode::CONFLICT, "in_flight", detail));
            }
            Begun::OtherBody => {
                let detail = "this Idempotency-Key came before with another body";
                return Err(Problem::faults("idempotency_key_reused", detail, Vec::new()));
            }
            Begun::OtherKey(check) => {
                let id = answer::id_text(check);
                let detail = format!("the transaction was checked before, with another Idempotency-Key: {id}");
                return Err(Problem::new(StatusCode::CONFLICT, "transaction_known", detail));
            }
        }
        let scratch = &mut *self.worker.fraud.scratch.borrow_mut();
        let models = traffic.models.load();
        let (policy, decided) = engine.check(request, models.get(self.fraud.model), now, scratch);
        let shown = &scratch.velocity.shown;
        let latency_us = self.arrived.elapsed().as_micros() as u64;
        let mut first = Vec::with_capacity(1_024);
        answer::write(&mut first, check, &decided, &policy, (request, shown), latency_us);
        let counters = &traffic.metrics.counters;
        counters.fraud_checks.get_or_create(&[("decision", decided.decision.as_str())]).inc();
        let checked = Arc::new(Checked {
            check,
            key,
            arrived: now,
            merchant: self.caller.merchant.unwrap_or_default().to_owned(),
            decision: decided.decision.number(),
            windows: engine.fingerprint,
            shown: shown.iter().map(|value| pack(*value)).collect(),
            body: body.to_vec(),
            answer: first,
        });
        engine.store.decided(decided.facts, checked.clone());
        Ok(Next::Going(self.append(checked)))
    }

    fn append(&self, checked: Arc<Checked>) -> Going {
        let event = Event::Fraud(FraudEvent::Check(checked.clone()));
        let written = self.worker.traffic.log.append_written(self.worker.lane, &event, self.fraud.synced);
        Going { written, checked }
    }

    /// Waits for the log, up to the deadline.
    async fn wait(&self, going: Going) -> Result<Answer, Problem> {
        let Going { written, checked } = going;
        let left = Duration::from_millis(self.caller.deadline_ms).saturating_sub(self.arrived.elapsed());
        let (engine, check) = (self.fraud.engine.clone(), checked.check);
        // Noted whether or not anybody still waits: otherwise a check that the log refuses would be in flight for ever.
        let noted = tokio::spawn(async move {
            let written = written.await;
            match &written {
                Ok(offset) => {
                    engine.store.written(check, offset.0);
                }
                Err(_) => engine.store.unwritten(check),
            }
            written
        });
        let answered = match tokio::time::timeout(left, noted).await {
            Ok(Ok(Ok(offset))) => Ok(json(answer::finish(&checked.answer, Some(offset.0)))),
            Ok(Ok(Err(error))) => Err(unavailable(error)),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => {
                let counters = &self.worker.traffic.metrics.counters;
                counters.fraud_checks.get_or_create(&[("decision", "timeout")]).inc();
                Ok(json(late_answer(&checked.answer, self.caller.on_timeout)))
            }
        };
        self.worker.stats().fraud_latency.record(self.arrived.elapsed());
        answered
    }

    fn bad_time(&self, request: &Request, now: UnixMs) -> Option<Fault> {
        let age_ms = now.since(request.at());
        let message = if age_ms > self.fraud.max_age_ms {
            format!("is more than {} s ago", self.fraud.max_age_ms / 1_000)
        } else if -age_ms > self.fraud.max_future_ms {
            format!("is more than {} s ahead of our clock", self.fraud.max_future_ms / 1_000)
        } else {
            return None;
        };
        Some(Fault::new("/occurred_at", message))
    }

    pub(super) async fn get(&self, id: &str) -> Result<Answer, Problem> {
        let merchant = self.caller.merchant.map(merchant_number);
        let found = answer::parse_id(id).and_then(|check| self.fraud.engine.store.find(check, merchant));
        let Some(found) = found else { return Err(no_check()) };
        let checked = match found.checked {
            Some(checked) => checked,
            None => self.read_back(found.offset).await?,
        };
        Ok(json(self.fraud.engine.shown(&checked, found.offset)))
    }

    /// A check from the log, on a thread that may block.
    async fn read_back(&self, offset: u64) -> Result<Arc<Checked>, Problem> {
        let log = self.worker.traffic.log.clone();
        let durable = async {
            while log.durable_end().0 <= offset {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DURABLE_SOON, durable).await.map_err(|_| unavailable("the log is behind"))?;
        let _permit = self.fraud.reading.clone().acquire_owned().await.map_err(unavailable)?;
        let log = log.clone();
        let read = tokio::task::spawn_blocking(move || read(&*log, offset)).await;
        read.ok().flatten().ok_or_else(no_check)
    }
}

fn read(log: &dyn EventLog, offset: u64) -> Option<Arc<Checked>> {
    match log.read(Offset(offset)).ok()?.next_event().ok()??.event {
        Event::Fraud(FraudEvent::Check(checked)) => Some(checked),
        _ => None,
    }
}

pub(super) fn no_check() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such check")
}

/// The answer when there is no time left: the same but for the decision.
fn late_answer(first: &[u8], decision: Decision) -> Vec<u8> {
    let mut whole: serde_json::Value = serde_json::from_slice(&answer::finish(first, None)).unwrap_or_default();
    whole["decision"] = decision.as_str().into();
    whole["recommended_action"] = decision.advice().into();
    whole["degraded"] = true.into();
    whole.to_string().into_bytes()
}

fn refused(why: Refused, request: &mut Request) -> Problem {
    match why {
        Refused::Syntax(detail) => {
            Problem::new(StatusCode::BAD_REQUEST, "not_json", format!("the body is not JSON: {detail}"))
        }
        Refused::Faults => Problem::faults("invalid", "the check has faults", std::mem::take(&mut request.faults)),
        Refused::CardNumbers => {
            let pointers = std::mem::take(&mut request.card_numbers);
            card_numbers(pointers)
        }
    }
}

pub(super) fn card_numbers(pointers: Vec<String>) -> Problem {
    let faults = pointers.into_iter().map(|pointer| Fault::new(pointer, "holds a card number")).collect();
    Problem::faults("pan_not_allowed", "full card numbers are not taken, not logged and not stored", faults)
}
