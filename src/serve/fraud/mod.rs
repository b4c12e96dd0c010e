//! `/v1/fraud`: checks, outcomes, labels.

mod access;
mod check;
mod report;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tokio::sync::Semaphore;

pub use access::{Access, Caller};

use super::body::{self, Unread};
use super::connection::Connection;
use super::problem::Problem;
use super::routes::Answer;
use super::traffic::Worker;
use super::unsent::Payload;
use crate::clock::monotonic_ns;
use crate::fraud::engine::Engine;
use crate::fraud::{Request, Scratch};

/// What the fraud paths answer from.
pub struct Fraud {
    pub engine: Arc<Engine>,
    /// The model called so decides.
    pub model: &'static str,
    pub access: Access,
    pub max_age_ms: i64,
    pub max_future_ms: i64,
    pub strict: bool,
    pub synced: bool,
    /// Old answers that are being read back from the log: few at once, for each may read a whole segment.
    pub reading: Arc<Semaphore>,
}

/// Answers that are read back from the log at once.
pub const READERS: usize = 2;

/// One worker's buffers.
pub struct Buffers {
    request: RefCell<Request>,
    scratch: RefCell<Scratch>,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { request: RefCell::default(), scratch: RefCell::new(Scratch::with_timer(monotonic_ns)) }
    }
}

/// One request that is being answered.
struct Call<'a> {
    worker: &'a Rc<Worker>,
    fraud: &'a Fraud,
    head: &'a Parts,
    caller: Caller<'a>,
    arrived: Instant,
}

/// Answers what stands below `/v1/fraud/`.
pub async fn answer(connection: &Connection, path: &str, head: &Parts, incoming: Incoming, arrived: Instant) -> Answer {
    let worker = &connection.worker;
    let answered = route(worker, path, head, incoming, arrived).await;
    answered.unwrap_or_else(|problem| {
        worker.traffic.metrics.counters.fraud_refused.get_or_create(&[("code", problem.code)]).inc();
        problem.answer()
    })
}

async fn route(
    worker: &Rc<Worker>,
    path: &str,
    head: &Parts,
    incoming: Incoming,
    arrived: Instant,
) -> Result<Answer, Problem> {
    let fraud = &worker.traffic.fraud;
    let keys = fraud.access.keys();
    let admitted = keys.admit(&head.headers, worker.traffic.clock.now());
    let caller = match admitted {
        Ok(caller) => caller,
        Err(problem) => {
            body::discard(incoming, &worker.traffic.limits).await;
            return Err(problem);
        }
    };
    let call = Call { worker, fraud, head, caller, arrived };
    let (post, get) = (head.method == Method::POST, head.method == Method::GET);
    match (path, path.strip_prefix("checks/").map(|rest| rest.split_once('/'))) {
        ("checks", _) if post => call.check(call.body(incoming).await?).await,
        ("checks", _) => Err(call.leave(incoming, Problem::not_allowed("POST")).await),
        ("labels", _) if post => call.labels(call.body(incoming).await?).await,
        ("labels", _) => Err(call.leave(incoming, Problem::not_allowed("POST")).await),
        (_, Some(Some((id, "outcome")))) if post => call.outcome(id, call.body(incoming).await?).await,
        (_, Some(Some((_, "outcome")))) => Err(call.leave(incoming, Problem::not_allowed("POST")).await),
        (_, Some(None)) if get => {
            body::discard(incoming, &worker.traffic.limits).await;
            call.get(path.trim_start_matches("checks/")).await
        }
        (_, Some(None)) => Err(call.leave(incoming, Problem::not_allowed("GET")).await),
        _ => {
            let detail = "there is nothing at this path";
            Err(call.leave(incoming, Problem::new(StatusCode::NOT_FOUND, "not_found", detail)).await)
        }
    }
}

impl Call<'_> {
    /// Reads a body that is not wanted.
    async fn leave(&self, incoming: Incoming, problem: Problem) -> Problem {
        body::discard(incoming, &self.worker.traffic.limits).await;
        problem
    }

    async fn body(&self, incoming: Incoming) -> Result<Bytes, Problem> {
        let headers: &HeaderMap = &self.head.headers;
        let encoded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        if encoded {
            let detail = "bodies are taken as they are, without an encoding";
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", detail);
            return Err(self.leave(incoming, problem).await);
        }
        body::read(self.worker, headers, incoming).await.map_err(|unread| {
            let (status, code) = match unread {
                Unread::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
                Unread::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
                Unread::BrokenOff => (StatusCode::BAD_REQUEST, "broken_off"),
                Unread::Overload => (StatusCode::SERVICE_UNAVAILABLE, "overload"),
            };
            Problem::new(status, code, "the body could not be read")
        })
    }
}

fn json(body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Payload::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn unavailable(error: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", format!("nothing was changed: {error}"))
}
