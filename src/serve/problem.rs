//! Errors of fraud checks as RFC 9457 `application/problem+json`.

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::routes::Answer;
use super::unsent::Payload;
use crate::fraud::{Fault, Faults};

/// What went wrong, for the one who asked.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    /// One word for a program.
    pub code: &'static str,
    detail: String,
    faults: Vec<Fault>,
    /// Of a 405: the methods that are allowed.
    allow: Option<&'static str>,
    /// Seconds after which it may be tried again.
    retry_after_s: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Problem { status, code, detail: detail.into(), faults: Vec::new(), allow: None, retry_after_s }
    }

    pub fn faults(code: &'static str, detail: impl Into<String>, faults: impl Into<Faults>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with(faults)
    }

    /// With what is wrong, by where it stands.
    #[must_use]
    pub fn with(self, faults: impl Into<Faults>) -> Problem {
        Problem { faults: faults.into().listed(), ..self }
    }

    pub fn not_allowed(methods: &'static str) -> Problem {
        let (allow, detail) = (Some(methods), format!("allowed here: {methods}"));
        Problem { allow, ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail) }
    }

    pub fn too_many(retry_after_s: u32) -> Problem {
        let (retry_after_s, detail) = (Some(retry_after_s), "the rate limit of this key is used up");
        Problem { retry_after_s, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail) }
    }

    pub fn answer(self) -> Answer {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if !self.faults.is_empty() {
            let faults = self.faults.into_iter().map(|f| json!({"pointer": f.pointer, "detail": f.message}));
            body["errors"] = Value::Array(faults.collect());
        }
        let mut answer = Response::new(Payload::from(body.to_string()));
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(methods) = self.allow {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(seconds) = self.retry_after_s {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}
