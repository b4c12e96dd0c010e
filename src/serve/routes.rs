//! Paths of the traffic listener.

use std::rc::Rc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};

use super::connection::Connection;
use super::traffic::Worker;
use super::unsent::Payload;
use super::{bid, body, fraud, notice, track};
use crate::event::{NoticeKind, Track};

pub type Answer = Response<Payload>;

/// Answers one request. hyper keeps room for it with each connection, so only the way of a bid is in it; others are in a box
/// of their own.
pub async fn answer(connection: &Rc<Connection>, head: &Parts, body: Incoming) -> Answer {
    let arrived = Instant::now();
    let worker = &connection.worker;
    let exchange = head.uri.path().strip_prefix("/openrtb2/");
    let check = head.uri.path().strip_prefix("/v1/fraud/");
    let mut answer = if headers_bytes(&head.headers) > worker.traffic.limits.max_header_bytes {
        body::leave(worker, &head.headers, body);
        status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if let Some(path) = check {
        Box::pin(fraud::answer(connection, path, head, body, arrived)).await
    } else {
        match exchange.and_then(|name| worker.traffic.exchanges.get(name)) {
            Some(exchange) if head.method == Method::POST => {
                bid::answer(connection, exchange, &head.headers, body, arrived).await
            }
            known => {
                Box::pin(async {
                    let answer = match known {
                        Some(_) => not_allowed("POST"),
                        None => bodyless(worker, head, arrived).await,
                    };
                    body::discard(body, &worker.traffic.limits).await;
                    answer
                })
                .await
            }
        }
    };
    if exchange.is_some() {
        bid::tell_version(&mut answer);
    }
    answer
}

/// Answers what is all in the head.
async fn bodyless(worker: &Worker, head: &Parts, arrived: Instant) -> Answer {
    let path = head.uri.path();
    let get_or_post = matches!(head.method, Method::GET | Method::POST);
    for (prefix, kind) in [("/n/win/", NoticeKind::Win), ("/n/bill/", NoticeKind::Bill), ("/n/loss/", NoticeKind::Loss)]
    {
        if let Some(token) = path.strip_prefix(prefix) {
            if !get_or_post {
                return not_allowed("GET, POST");
            }
            return notice::answer(worker, kind, token, head.uri.query(), arrived).await;
        }
    }
    for (prefix, what) in [("/t/i/", Track::Impression), ("/t/c/", Track::Click), ("/t/v/", Track::Conversion)] {
        if let Some(token) = path.strip_prefix(prefix) {
            let allowed = head.method == Method::GET || (what == Track::Conversion && get_or_post);
            return if allowed {
                track::answer(worker, what, token)
            } else {
                not_allowed(if what == Track::Conversion { "GET, POST" } else { "GET" })
            };
        }
    }
    match path {
        "/ready" if head.method == Method::GET => {
            let body: &'static [u8] = if worker.is_ready() { b"1" } else { b"0" };
            let mut response = Response::new(Payload::from(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
        "/ready" => not_allowed("GET"),
        _ => status(StatusCode::NOT_FOUND),
    }
}

/// As they came, with their `: ` and line ends.
fn headers_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// A status and nothing else.
pub fn status(code: StatusCode) -> Answer {
    let mut response = Response::new(Payload::default());
    *response.status_mut() = code;
    response
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
