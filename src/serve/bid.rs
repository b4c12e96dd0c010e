//! `POST /openrtb2/{exchange}`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use super::body::Unread;
use super::codecs::{Bound, Refused};
use super::connection::Connection;
use super::encoding::Coding;
use super::routes::{Answer, status};
use super::traffic::{Exchange, Worker};
use super::unsent::{self, Payload};
use super::{body, encoding, lag, markup, record};
use crate::bidding::{BidDecision, Reason, Served, Told, decide, vast};
use crate::clock::ns_at;
use crate::event::Event;
use crate::eventlog::{AppendError, LogState};
use crate::openrtb::inventory::Inventory;
use crate::openrtb::request::{BidRequest, parse_into};
use crate::openrtb::response::{BidParts, ResponseWriter, write_no_bid};
use crate::scoring::Models;

const OPENRTB_VERSION: HeaderName = HeaderName::from_static("x-openrtb-version");
/// The version that is implemented (OpenRTB 2.6 section 2.5 wants it in every response).
const VERSION: HeaderValue = HeaderValue::from_static("2.6");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Longest that a request is decided on, however long its exchange waits: others wait for the worker.
const MAX_DECIDING_MS: i64 = 200;
/// No exchange waits longer.
const MAX_TMAX_MS: i64 = 60_000;
/// An answer is seldom longer: what one was does not make all later ones take as much.
const MAX_RESPONSE_HINT: usize = 16 << 10;

/// A request that is being answered.
struct Call<'a> {
    connection: &'a Rc<Connection>,
    worker: &'a Rc<Worker>,
    exchange: &'a Exchange,
    headers: &'a HeaderMap,
    arrived: Instant,
    /// What it may have waited before that.
    lag_ms: i64,
}

pub async fn answer(
    connection: &Rc<Connection>,
    exchange: &Exchange,
    headers: &HeaderMap,
    incoming: Incoming,
    arrived: Instant,
) -> Answer {
    let worker = &connection.worker;
    let stats = worker.stats();
    stats.bid_requests.add(1);
    let lag_ms = lag::waited_ms(worker, arrived).into();
    let call = Call { connection, worker, exchange, headers, arrived, lag_ms };
    let mut response = match encoding::of_body(headers) {
        Ok(coding) => match body::read(worker, headers, incoming).await {
            Ok(body) => match coding {
                None => call.answer_plain(&body),
                Some(coding) => call.answer_encoded(coding, body),
            },
            Err(unread) => call.unread(unread),
        },
        Err(encoding::Unsupported) => {
            body::leave(worker, headers, incoming);
            call.refused("content_encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE)
        }
    };
    for (name, value) in &exchange.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    stats.bid_latency.record(arrived.elapsed());
    response
}

/// Says which version is implemented.
pub fn tell_version(response: &mut Answer) {
    response.headers_mut().insert(OPENRTB_VERSION, VERSION);
}

impl Call<'_> {
    fn refused(&self, rule: &'static str, code: StatusCode) -> Answer {
        self.worker.traffic.metrics.counters.bad_requests.get_or_create(&[("rule", rule)]).inc();
        let mut response = status(code);
        if code == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding::OFFERED));
        }
        response
    }

    #[cold]
    fn unread(&self, why: Unread) -> Answer {
        match why {
            Unread::TooLarge => self.refused("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Unread::TooSlow => self.refused("too_slow", StatusCode::REQUEST_TIMEOUT),
            Unread::BrokenOff => self.refused("broken_off", StatusCode::BAD_REQUEST),
            Unread::Overload => self.overloaded(),
        }
    }

    #[cold]
    fn overloaded(&self) -> Answer {
        self.worker.count_no_bid(Reason::Overload);
        status(StatusCode::NO_CONTENT)
    }

    #[cold]
    fn answer_encoded(&self, coding: Coding, body: Bytes) -> Answer {
        let mut inflated = self.worker.inflated.take();
        let bound = Bound::of(self.worker.traffic.limits.max_body_bytes);
        let undone = self.worker.codecs.borrow_mut().inflate(coding, body, bound, &mut inflated);
        let response = match undone {
            Ok(()) => self.answer_plain(inflated.bytes()),
            Err(Refused::TooLarge) => self.refused("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Err(Refused::Malformed) => self.refused(coding.as_str(), StatusCode::BAD_REQUEST),
        };
        self.worker.inflated.set(inflated);
        response
    }

    fn answer_plain(&self, body: &[u8]) -> Answer {
        let (worker, exchange) = (self.worker, self.exchange);
        // One stall is left to each request's own time.
        let (lag_ms, left_ms) = (worker.lag_ms.get(), exchange.tmax_default_ms - exchange.network_ms);
        if lag_ms > 0 && i64::from(lag_ms) >= left_ms && !exchange.body_no_bid {
            // Too late for almost all: the time that reading it takes is better spent on the next.
            return self.overloaded();
        }
        let mut request = BidRequest::default();
        if let Err(error) = parse_into(&mut request, body) {
            let rule = if foreign_version(self.headers) { "version" } else { error.as_str() };
            return self.refused(rule, StatusCode::BAD_REQUEST);
        }
        match bids(self, &request, body) {
            Ok(body) => self.json(body),
            Err(reason) => {
                worker.count_no_bid(reason);
                if !exchange.body_no_bid {
                    return status(StatusCode::NO_CONTENT);
                }
                let mut body = Vec::new();
                write_no_bid(&mut body, &request.id, reason.nbr());
                self.json(body)
            }
        }
    }

    fn json(&self, body: Vec<u8>) -> Answer {
        match encoding::for_answer(self.headers) {
            None => self.plain(body),
            Some(coding) => self.encoded(coding, body),
        }
    }

    #[cold]
    fn encoded(&self, coding: Coding, body: Vec<u8>) -> Answer {
        let Some(encoded) = self.worker.codecs.borrow_mut().deflate(coding, &body) else { return self.plain(body) };
        let mut response = self.plain(encoded);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        response
    }

    fn plain(&self, body: Vec<u8>) -> Answer {
        let mut response = Response::new(Payload::counted(body, self.connection));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}

/// Whether the request says that it is of another major version. That is for information (OpenRTB 2.6 section 2.5): what
/// can be read is answered, and what cannot is told apart.
#[cold]
fn foreign_version(headers: &HeaderMap) -> bool {
    let version = headers.get(OPENRTB_VERSION).and_then(|v| v.to_str().ok()).unwrap_or("");
    version.split('.').next().and_then(|major| major.trim().parse::<u32>().ok()).is_some_and(|major| major != 2)
}

/// When it is decided, when that has to be done, and when the answer.
struct Times {
    now: Instant,
    decided: Instant,
    answered: Instant,
}

/// Whether the log takes what a bid would write, the request says where it is shown, and there is time left.
fn may_bid(call: &Call, request: &BidRequest) -> Result<Times, Reason> {
    let (worker, exchange) = (call.worker, call.exchange);
    if call.connection.is_crowded() || unsent::is_too_much(call.connection) {
        return Err(Reason::Overload);
    }
    if !worker.is_ready() {
        return Err(Reason::NotReady);
    }
    if worker.traffic.log.state() != LogState::Open {
        return Err(Reason::LogFull);
    }
    // Where nobody says, no campaign wants to be shown.
    if !request.inventory.as_ref().is_some_and(Inventory::is_named) {
        return Err(Reason::InvalidRequest);
    }
    let tmax_ms = request.tmax.filter(|ms| *ms > 0).unwrap_or(exchange.tmax_default_ms);
    // A body that came slowly has used up some of it.
    let left_ms = tmax_ms.saturating_sub(exchange.network_ms);
    let now = Instant::now();
    let used_ms = now.saturating_duration_since(call.arrived).as_millis() as i64;
    if left_ms <= used_ms {
        return Err(Reason::InsufficientTime);
    }
    // So has the time that it waited before it was seen.
    let left_ms = left_ms - used_ms - call.lag_ms;
    if left_ms <= 0 || lag::is_behind(worker, left_ms) {
        return Err(Reason::Overload);
    }
    // The last eighth is for writing it down.
    let left_us = |ms: i64| left_ms.min(ms).unsigned_abs() * 1_000;
    let decided = now + Duration::from_micros(left_us(MAX_DECIDING_MS) * 7 / 8);
    let answered = now + Duration::from_micros(left_us(MAX_TMAX_MS));
    Ok(Times { now, decided, answered })
}

/// Decides, writes the bids to the log, and renders them.
fn bids(call: &Call, request: &BidRequest, body: &[u8]) -> Result<Vec<u8>, Reason> {
    let times = may_bid(call, request)?;
    let bids = bids_by(call, request, body, &times);
    lag::count(call.worker, times.now);
    bids
}

fn bids_by(call: &Call, request: &BidRequest, body: &[u8], times: &Times) -> Result<Vec<u8>, Reason> {
    let (worker, exchange) = (call.worker, call.exchange);
    let traffic = &*worker.traffic;
    let now = traffic.clock.at(times.now);
    let decision = {
        let scratch = &mut *worker.scratch.borrow_mut();
        let snapshot = worker.snapshot();
        scratch.end_at(ns_at(times.decided), ns_at(times.answered));
        let decision = decide(&snapshot, &exchange.terms, request, now, scratch);
        count_lost(worker, scratch.take_lost());
        if !scratch.told().batches.is_empty() {
            count_scores(worker, &snapshot.models, scratch.told());
            scratch.clear_told();
        }
        decision
    };
    if let Some(reason) = decision.reason {
        record::note(worker, exchange, request, body, now, &decision);
        return Err(reason);
    }
    if Instant::now() >= times.answered {
        // As when the log cannot take them: nobody waits for these bids.
        return Err(Reason::InsufficientTime);
    }
    // The log has the bids before the exchange does: all of them, so that it holds none that nobody got. If it cannot
    // take them there is no bid, and the money comes back when its bucket ends.
    let events: SmallVec<[Event; 1]> =
        decision.bids.iter().filter(|b| !b.facts.test).map(|bid| Event::Bid(bid.facts)).collect();
    traffic.log.append_all(worker.lane, &events).map_err(|error| match error {
        AppendError::Busy | AppendError::TooLarge { .. } => Reason::LogBusy,
        AppendError::Full | AppendError::Away | AppendError::Failed(_) | AppendError::Closed => Reason::LogFull,
    })?;
    record::note(worker, exchange, request, body, now, &decision);
    let body = render(worker, exchange, request, &decision)?;
    let stats = worker.stats();
    stats.bid_responses.add(1);
    stats.bids.add(decision.bids.len() as u64);
    Ok(body)
}

fn count_lost(worker: &Worker, lost: [u64; Reason::COUNT]) {
    let counts = &worker.stats().campaigns_lost;
    for (count, lost) in counts.iter().zip(lost).filter(|(_, lost)| *lost > 0) {
        count.add(lost);
    }
}

fn count_scores(worker: &Worker, models: &Models, told: &Told) {
    let (mut active, mut shadow) = (&told.active[..], &told.shadow[..]);
    for batch in &told.batches {
        let (scores, shadows);
        (scores, active) = active.split_at(batch.rows);
        (shadows, shadow) = shadow.split_at(batch.rows);
        worker.stats().models.record(models.at(batch.model), scores, batch.active_ns, shadows, batch.shadow_ns);
    }
}

fn render(
    worker: &Worker,
    exchange: &Exchange,
    request: &BidRequest,
    decision: &BidDecision,
) -> Result<Vec<u8>, Reason> {
    let traffic = &*worker.traffic;
    let (Some(first), Some(currency)) = (decision.bids.first(), decision.currency) else {
        return Err(Reason::NoCampaigns);
    };
    let mut out = Vec::with_capacity(worker.response_hint.get());
    let mut writer = ResponseWriter::new(&mut out, &request.id);
    let mut token = worker.token.take();
    let (mut markup_token, mut own_fragment) = (Vec::new(), Vec::new());
    for (i, bid) in decision.bids.iter().enumerate() {
        let imp = &request.imp[bid.imp];
        let facts = &bid.facts;
        let id = facts.reservation.text();
        token.clear();
        let token_until = facts.bid_at.plus(exchange.token_lifetime_ms);
        traffic.keys.sign_into(facts, token_until, &mut token);
        let creative = &bid.campaign.creatives[usize::from(bid.creative)];
        let source = &creative.creative;
        own_fragment.clear();
        markup_token.clear();
        if !creative.fragment.token_slots.is_empty() || matches!(bid.served, Served::Spot(_)) {
            traffic.keys.sign_markup_into(facts, token_until, &mut markup_token);
        }
        let (size, protocol) = match &bid.served {
            Served::AsIs => (None, None),
            Served::Native(request) => {
                markup::write_native(source, request, &mut own_fragment);
                (None, None)
            }
            Served::Spot(choice) => {
                markup::write_vast(source, choice, &exchange.urls, &markup_token, &mut own_fragment);
                (vast::size(source, choice), choice.protocol)
            }
        };
        let fragment: &[u8] = if own_fragment.is_empty() {
            &creative.fragment.bytes
        } else {
            own_fragment.extend_from_slice(&creative.fragment.bytes);
            &own_fragment
        };
        // Not longer than the exchange waits, and shorter than the money stays set aside (OpenRTB 2.6 section 4.2.3, exp).
        let bill_s = exchange.terms.lifetimes.exp_s().min(exchange.token_lifetime_ms / 1_000);
        let exp = imp.exp.filter(|exp| *exp > 0).map_or(bill_s, |exp| exp.min(bill_s));
        let parts = BidParts {
            id: id.as_str(),
            impid: &imp.id,
            price: facts.price,
            token: &token,
            quantity: facts.quantity,
            urls: &exchange.urls,
            fragment,
            token_slots: &creative.fragment.token_slots,
            markup_token: &markup_token,
            dealid: bid.deal.and_then(|d| imp.pmp.as_ref().and_then(|p| p.deals.get(d))).map(|d| &d.id),
            exp: u32::try_from(exp).ok().filter(|exp| *exp > 0),
            size,
            protocol,
        };
        if i == 0 {
            writer.seat(&exchange.terms.seat, &parts);
        } else {
            writer.bid(&parts);
        }
    }
    writer.finish(first.facts.reservation.text().as_str(), currency);
    worker.token.set(token);
    worker.response_hint.set(out.len().next_multiple_of(256).min(MAX_RESPONSE_HINT));
    Ok(out)
}
