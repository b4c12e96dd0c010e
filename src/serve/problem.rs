//! Errors of fraud checks as RFC 9457 `application/problem+json`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::routes::Answer;
use crate::fraud::Fault;

/// What went wrong, for the one who asked.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    /// One word for a program.
    pub code: &'static str,
    detail: String,
    faults: Vec<Fault>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let header = match status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        };
        Problem { status, code, detail: detail.into(), faults: Vec::new(), header }
    }

    pub fn faults(code: &'static str, detail: impl Into<String>, faults: Vec<Fault>) -> Problem {
        Problem { faults, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail) }
    }

    pub fn not_allowed(methods: &'static str) -> Problem {
        let header = Some((ALLOW, HeaderValue::from_static(methods)));
        let detail = format!("allowed here: {methods}");
        Problem { header, ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail) }
    }

    pub fn too_many(retry_after_s: u32) -> Problem {
        let header = Some((RETRY_AFTER, HeaderValue::from(retry_after_s)));
        let detail = "the rate limit of this key is used up";
        Problem { header, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail) }
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
        let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}
