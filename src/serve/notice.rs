//! `/n/{win,bill,loss}/{token}`: nurl, burl, lurl.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

use super::routes::{Answer, status};
use super::traffic::Worker;
use crate::event::{Event, Facts, Notice, NoticeKind};
use crate::openrtb::claim::notice_claim;
use crate::openrtb::query::NoticeQuery;
use crate::openrtb::token::TokenError;

/// Longer than a log that works takes. An exchange that does not hear by then had better send it again: the notice may be
/// booked all the same, and then the second one changes nothing.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// Answers 204 once the notice is durable. What cannot be trusted or used changes nothing and is counted; 503 only
/// when the log cannot take it or does not answer, so that the exchange sends it again.
pub async fn answer(worker: &Worker, kind: NoticeKind, token: &str, query: Option<&str>, arrived: Instant) -> Answer {
    let traffic = &*worker.traffic;
    let odd = |fault: &'static str| {
        let labels = [("kind", kind.as_str()), ("fault", fault)];
        traffic.metrics.counters.odd_notices.get_or_create(&labels).inc();
    };
    let now = |facts: &Facts| traffic.now_for(facts);
    // A token may have been signed when tokens lived longer than they do now.
    let lives = |facts: &Facts| now(facts).since(facts.bid_at) < traffic.token_lifetime_ms;
    let facts = match traffic.keys.verify_at(token.as_bytes(), now) {
        Ok(facts) if lives(&facts) => facts,
        Ok(_) => {
            odd(TokenError::Expired.as_str());
            return status(StatusCode::NO_CONTENT);
        }
        Err(error) => {
            odd(error.as_str());
            return status(StatusCode::NO_CONTENT);
        }
    };
    let query = NoticeQuery::parse(query.unwrap_or(""));
    let exchange = traffic.by_number.get(&facts.exchange).and_then(|name| traffic.exchanges.get(name));
    let (price, note) = notice_claim(kind, &facts, &query, exchange.map(|e| &e.price));
    if let Some(note) = note {
        odd(note.as_str());
    }
    let loss_reason = query.loss_reason();
    if kind == NoticeKind::Loss {
        // Reasons of an exchange's own (1000 and up) are one class: a label must not grow without bound. 0 is a reason
        // too, so a text that says none is not.
        let code = match loss_reason {
            None => "none".to_owned(),
            Some(code @ ..1_000) => code.to_string(),
            Some(_) => "1000+".to_owned(),
        };
        traffic.metrics.counters.losses.get_or_create(&vec![("reason", code)]).inc();
    }
    let loss_reason = loss_reason.unwrap_or(0);
    let notice = Notice { kind, facts, price, loss_reason, min_to_win: query.min_to_win() };
    let durable = traffic.log.append_durable(worker.lane, &[Event::Notice(notice)]);
    let durable = tokio::time::timeout(LOG_PATIENCE, durable).await;
    worker.stats().notice_latency.record(arrived.elapsed());
    match durable {
        Ok(Ok(())) => status(StatusCode::NO_CONTENT),
        Ok(Err(_)) | Err(_) => {
            odd("log_unavailable");
            let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}
