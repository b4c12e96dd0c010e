//! `POST /openrtb2/{exchange}`.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

use super::routes::{Answer, status};
use super::traffic::{Exchange, Worker};
use super::{body, markup};
use crate::bidding::{BidDecision, Reason, Served, decide, vast};
use crate::event::Event;
use crate::eventlog::{AppendError, LogState};
use crate::openrtb::inventory::Inventory;
use crate::openrtb::request::{BidRequest, parse};
use crate::openrtb::response::{BidParts, ResponseWriter, write_no_bid};

const OPENRTB_VERSION: HeaderName = HeaderName::from_static("x-openrtb-version");
/// The version that is implemented (OpenRTB 2.6 section 2.5 wants it in every response).
const VERSION: HeaderValue = HeaderValue::from_static("2.6");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub async fn answer(
    worker: &Worker,
    exchange: &Exchange,
    headers: &HeaderMap,
    incoming: Incoming,
    arrived: Instant,
) -> Answer {
    let stats = worker.stats();
    stats.bid_requests.add(1);
    let mut response = match body::read(headers, incoming, &worker.traffic.limits).await {
        Ok(body) => from_body(worker, exchange, &body, arrived),
        Err(code) => {
            bad_request(worker, code.canonical_reason().unwrap_or("unreadable"));
            status(code)
        }
    };
    response.headers_mut().insert(OPENRTB_VERSION, VERSION);
    stats.bid_latency.record(arrived.elapsed());
    response
}

fn bad_request(worker: &Worker, rule: &'static str) {
    worker.traffic.metrics.counters.bad_requests.get_or_create(&[("rule", rule)]).inc();
}

fn from_body(worker: &Worker, exchange: &Exchange, body: &[u8], arrived: Instant) -> Answer {
    let request = match parse(body) {
        Ok(request) => request,
        Err(error) => {
            bad_request(worker, error.as_str());
            return status(StatusCode::BAD_REQUEST);
        }
    };
    match bids(worker, exchange, &request, arrived) {
        Ok(body) => json(body),
        Err(reason) => {
            worker.count_no_bid(reason);
            if !exchange.body_no_bid {
                return status(StatusCode::NO_CONTENT);
            }
            let mut body = Vec::new();
            write_no_bid(&mut body, &request.id, reason.nbr());
            json(body)
        }
    }
}

fn json(body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Whether the log takes what a bid would write, the request says where it is shown, and there is time left.
fn may_bid(worker: &Worker, exchange: &Exchange, request: &BidRequest, arrived: Instant) -> Result<(), Reason> {
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
    if i128::from(left_ms) <= arrived.elapsed().as_millis() as i128 {
        return Err(Reason::InsufficientTime);
    }
    Ok(())
}

/// Decides, writes the bids to the log, and renders them.
fn bids(worker: &Worker, exchange: &Exchange, request: &BidRequest, arrived: Instant) -> Result<Vec<u8>, Reason> {
    may_bid(worker, exchange, request, arrived)?;
    let traffic = &*worker.traffic;
    let now = traffic.clock.now();
    let decision = {
        let scratch = &mut *worker.scratch.borrow_mut();
        let decision = decide(&worker.snapshot(), &exchange.terms, request, now, scratch);
        count_lost(worker, scratch.take_lost());
        decision
    };
    if let Some(reason) = decision.reason {
        return Err(reason);
    }
    // The log has the bid before the exchange does. If it cannot take it there is no bid, and the money comes back
    // when its bucket ends.
    for bid in decision.bids.iter().filter(|b| !b.facts.test) {
        traffic.log.append(worker.lane, &Event::Bid(bid.facts)).map_err(|error| match error {
            AppendError::Busy | AppendError::TooLarge { .. } => Reason::LogBusy,
            AppendError::Full | AppendError::Failed(_) | AppendError::Closed => Reason::LogFull,
        })?;
    }
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
    let mut token = Vec::with_capacity(256);
    let mut own_fragment = Vec::new();
    for (i, bid) in decision.bids.iter().enumerate() {
        let imp = &request.imp[bid.imp];
        let facts = &bid.facts;
        let id = facts.reservation.text();
        token.clear();
        traffic.keys.sign_into(facts, facts.bid_at.plus(exchange.token_lifetime_ms), &mut token);
        let creative = &bid.campaign.creatives[usize::from(bid.creative)];
        let source = &bid.campaign.campaign.creatives[usize::from(bid.creative)];
        own_fragment.clear();
        let (size, protocol) = match &bid.served {
            Served::AsIs => (None, None),
            Served::Native(request) => {
                markup::write_native(source, request, &mut own_fragment);
                (None, None)
            }
            Served::Spot(choice) => {
                markup::write_vast(source, choice, &traffic.urls, &token, &mut own_fragment);
                (vast::size(source, choice), choice.protocol)
            }
        };
        let fragment: &[u8] = if own_fragment.is_empty() {
            &creative.fragment.bytes
        } else {
            own_fragment.extend_from_slice(&creative.fragment.bytes);
            &own_fragment
        };
        // Not longer than the exchange waits, nor than the money stays set aside (OpenRTB 2.6 section 4.2.3, exp).
        let bill_s = exchange.terms.lifetimes.bill_ms / 1_000;
        let exp = imp.exp.filter(|exp| *exp > 0).map_or(bill_s, |exp| exp.min(bill_s));
        let parts = BidParts {
            id: id.as_str(),
            impid: &imp.id,
            price: facts.price,
            token: &token,
            quantity: facts.quantity,
            urls: &traffic.urls,
            fragment,
            token_slots: &creative.fragment.token_slots,
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
    worker.response_hint.set(out.len().next_multiple_of(256));
    Ok(out)
}
