//! `POST /v1/fraud/checks` and `GET /v1/fraud/checks/{id}`.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::super::problem::Problem;
use super::super::routes::Answer;
use super::{Call, json, unavailable};
use crate::clock::UnixMs;
use crate::event::fraud::{Checked, FraudEvent};
use crate::event::{Event, Offset, Stamped};
use crate::eventlog::{AppendError, EventLog, LogState, ReadError, Written};
use crate::fraud::decide::Scored;
use crate::fraud::engine::{Engine, merchant_number, pack};
use crate::fraud::request::Refused;
use crate::fraud::store::{Begun, Found};
use crate::fraud::{Decision, Fault, Faults, Request, answer, fields};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const MAX_KEY: usize = 255;
/// Largest body of a check: it stands in the log.
const MAX_BODY: usize = 128 << 10;
/// How long an answer that is written and not durable yet is waited for.
const DURABLE_SOON: Duration = Duration::from_secs(2);

/// A decision on its way. Whether the log took it is noted, also when nobody waits any more: otherwise a check that the log
/// refuses would be in flight for ever.
struct Going {
    /// None when it has been noted.
    written: Option<Written>,
    checked: Arc<Checked>,
    engine: Arc<Engine>,
    /// What the fail policy answered before.
    late: Option<Decision>,
}

impl Going {
    async fn written(&mut self) -> Result<Offset, AppendError> {
        let Some(written) = &mut self.written else { return Err(AppendError::Closed) };
        let written = written.await;
        self.written = None;
        note(&self.engine, self.checked.check, &written);
        written
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let Some(written) = self.written.take() else { return };
        let (engine, check) = (self.engine.clone(), self.checked.check);
        // Without a runtime the process is about to end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { note(&engine, check, &written.await) });
        }
    }
}

/// What comes of it within that time; with none left, only what is there already.
async fn in_time<T>(left: Duration, what: impl Future<Output = T>) -> Option<T> {
    if left.is_zero() {
        let mut what = std::pin::pin!(what);
        return std::future::poll_fn(|cx| match what.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
    }
    tokio::time::timeout(left, what).await.ok()
}

fn note(engine: &Engine, check: u128, written: &Result<Offset, AppendError>) {
    match written {
        Ok(offset) => drop(engine.store.written(check, offset.0)),
        Err(_) => engine.store.unwritten(check),
    }
}

/// What became of a check before it was awaited.
enum Next {
    Going(Going),
    Answered(Found),
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
            Next::Answered(Found { offset, checked, late }) => {
                let checked = match checked {
                    Some(checked) => checked,
                    None => self.read_back_in_time(offset).await?,
                };
                let mut replayed = json(answer::given(&checked.answer, offset, late));
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
            Begun::Answered(found) => return Ok(Next::Answered(found)),
            Begun::Unwritten(checked, late) => return Ok(Next::Going(self.append(checked, late))),
            Begun::InFlight => {
                let detail = "the check with this Idempotency-Key is being decided";
                return Err(Problem::new(StatusCode::CONFLICT, "in_flight", detail));
            }
            Begun::Forgotten => {
                let detail = "this Idempotency-Key came before, and its answer had to make room for those of newer checks \
                              (max_checks): what was decided stands in the log";
                return Err(Problem::new(StatusCode::CONFLICT, "forgotten", detail));
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
        if let (Some(scored), Some(set)) = (&decided.model, models.get(self.fraud.model)) {
            let of = |scored: &Scored| ([scored.score.unwrap_or(f64::NAN)], scored.took_ns);
            let (active, shadow) = (of(scored), decided.shadow_model.as_ref().map(of));
            let (shadow, shadow_ns) = shadow.as_ref().map_or((&[][..], 0), |(score, ns)| (score, *ns));
            self.worker.stats().models.record(set, &active.0, active.1, shadow, shadow_ns);
        }
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
        Ok(Next::Going(self.append(checked, None)))
    }

    fn append(&self, checked: Arc<Checked>, late: Option<Decision>) -> Going {
        let event = Event::Fraud(FraudEvent::Check(checked.clone()));
        let written = self.worker.traffic.log.append_written(self.worker.lane, &event, self.fraud.synced);
        Going { written: Some(written), checked, engine: self.fraud.engine.clone(), late }
    }

    /// Waits for the log, up to the deadline.
    async fn wait(&self, mut going: Going) -> Result<Answer, Problem> {
        let left = Duration::from_millis(self.caller.deadline_ms).saturating_sub(self.arrived.elapsed());
        let answered = match in_time(left, going.written()).await {
            Some(Ok(offset)) => {
                if let Some(decision) = going.late {
                    // The log has the check only now, so that it had this for nothing.
                    self.tell_late(going.checked.check, decision);
                }
                Ok(json(answer::given(&going.checked.answer, offset.0, going.late)))
            }
            Some(Err(error)) => Err(unavailable(error)),
            None => {
                let counters = &self.worker.traffic.metrics.counters;
                counters.fraud_checks.get_or_create(&[("decision", "timeout")]).inc();
                let decision = going.late.unwrap_or(self.caller.on_timeout);
                going.engine.store.answered_late(going.checked.check, decision);
                self.tell_late(going.checked.check, decision);
                Ok(json(answer::given(&going.checked.answer, 0, Some(decision))))
            }
        };
        self.worker.stats().fraud_latency.record(self.arrived.elapsed());
        answered
    }

    /// Has the log know what was answered, behind the check itself. If it does not take that, a start does not know it.
    fn tell_late(&self, check: u128, decision: Decision) {
        let event = Event::Fraud(FraudEvent::Late { check, decision: decision.number() });
        if let Err(error) = self.worker.traffic.log.append(self.worker.lane, &event) {
            tracing::warn!(%error, "what a late check was answered is not in the log");
        }
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
            None => self.read_back_in_time(found.offset).await?,
        };
        Ok(json(self.fraud.engine.shown(&checked, found.offset, found.late)))
    }

    /// A stored answer is not made up anew: who has no time for it comes again, and finds it here.
    async fn read_back_in_time(&self, offset: u64) -> Result<Arc<Checked>, Problem> {
        let left = Duration::from_millis(self.caller.deadline_ms).saturating_sub(self.arrived.elapsed());
        let read = tokio::time::timeout(left, self.read_back(offset)).await;
        read.unwrap_or_else(|_| Err(unavailable("the answer is in the log and was not read back in time")))
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
        let (log, engine) = (log.clone(), self.fraud.engine.clone());
        let read = tokio::task::spawn_blocking(move || {
            let checked = read(&*log, offset)?;
            engine.store.keep(checked.clone());
            Ok(checked)
        });
        read.await.unwrap_or_else(|_| Err(no_check()))
    }
}

fn read(log: &dyn EventLog, offset: u64) -> Result<Arc<Checked>, Problem> {
    match log.read(Offset(offset)).and_then(|mut log| log.next_event()) {
        Ok(Some(Stamped { event: Event::Fraud(FraudEvent::Check(checked)), .. })) => Ok(checked),
        Err(gone @ ReadError::Gone { .. }) => {
            Err(Problem::new(StatusCode::GONE, "archived", format!("the answer is kept no longer: {gone}")))
        }
        _ => Err(no_check()),
    }
}

pub(super) fn no_check() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such check")
}

fn refused(why: Refused, request: &mut Request) -> Problem {
    match why {
        Refused::Syntax(detail) => {
            let whole = Fault::new("", format!("is not JSON: {detail}"));
            Problem::new(StatusCode::BAD_REQUEST, "not_json", "the body is not JSON").with(vec![whole])
        }
        Refused::Faults => Problem::faults("invalid", "the check has faults", std::mem::take(&mut request.faults)),
        Refused::CardNumbers => card_numbers(std::mem::take(&mut request.card_numbers)),
    }
}

pub(super) fn card_numbers(faults: impl Into<Faults>) -> Problem {
    Problem::faults("pan_not_allowed", "full card numbers are not taken, not logged and not stored", faults)
}
