//! Errors as RFC 9457 `application/problem+json`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::bidding::fault::Fault;

pub type Answer = Response<Full<Bytes>>;

/// What went wrong, for the one who asked.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    faults: Vec<Fault>,
    /// Of a 405: the methods that are allowed (RFC 9110 section 15.5.6).
    allow: Option<&'static str>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), faults: Vec::new(), allow: None }
    }

    pub fn not_allowed(methods: &'static str) -> Problem {
        let detail = format!("allowed here: {methods}");
        Problem { allow: Some(methods), ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// Every fault of a document, each with a JSON pointer.
    pub fn faults(status: StatusCode, detail: impl Into<String>, faults: Vec<Fault>) -> Problem {
        Problem { faults, ..Problem::new(status, detail) }
    }

    pub fn answer(self) -> Answer {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.faults.is_empty() {
            let faults =
                self.faults.into_iter().map(|f| json!({"pointer": f.pointer, "line": f.line, "detail": f.message}));
            body["errors"] = Value::Array(faults.collect());
        }
        let mut answer = with_body(self.status, "application/problem+json", body.to_string());
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(hyper::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(methods) = self.allow {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        answer
    }
}

pub fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
