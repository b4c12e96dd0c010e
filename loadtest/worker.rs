//! A worker: takes jobs, sends them over its connection, and acts on the answers.

use crate::checkout::play::{send_after, send_check};
use crate::journal::Ending;
use crate::link::{CallError, Link};
use crate::notice::Notice;
use crate::plan::Plan;
use crate::requests::Asked;
use crate::response;
use crate::series::End;
use crate::shard::{Core, Job};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use std::rc::Rc;

/// The wait before a notice is sent again; doubled each time.
const BACKOFF_NS: u64 = 50_000_000;
const BACKOFF_MAX_NS: u64 = 2_000_000_000;

/// The parts of a request that never change.
pub struct Templates {
    bid_path: Uri,
    host: HeaderValue,
}

impl Templates {
    pub fn new(plan: &Plan) -> Result<Templates, String> {
        let bid_path = format!("/openrtb2/{}", plan.exchange).parse();
        Ok(Templates {
            bid_path: bid_path.map_err(|error| format!("exchange {:?}: {error}", plan.exchange))?,
            host: HeaderValue::from_str(&plan.target.host).map_err(|error| error.to_string())?,
        })
    }

    fn bid(&self, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = self.post(self.bid_path.clone(), body);
        request.headers_mut().insert("x-openrtb-version", HeaderValue::from_static("2.6"));
        request
    }

    pub fn post(&self, path: Uri, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// None when the notice's path is not one that HTTP can carry.
    fn notice(&self, notice: &Notice) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = if notice.post { Method::POST } else { Method::GET };
        *request.uri_mut() = notice.path.parse().ok()?;
        request.headers_mut().insert(HOST, self.host.clone());
        Some(request)
    }
}

pub async fn work(core: Rc<Core>) {
    let mut link = Link::new(core.plan.target.addr);
    loop {
        let Some(job) = core.take_job() else {
            if core.is_closing() {
                break;
            }
            link.idle(core.job_ready()).await;
            continue;
        };
        let _under_way = core.begin();
        match job {
            Job::Bid { planned_ns, index } => send_bid(&core, &mut link, planned_ns, index).await,
            Job::Check { planned_ns, index } => send_check(&core, &mut link, planned_ns, index).await,
            Job::Notice(notice) => send_notice(&core, &mut link, *notice).await,
            Job::After(after) => send_after(&core, &mut link, *after).await,
        }
    }
    core.stats.borrow_mut().reconnects += link.connects.saturating_sub(1);
}

async fn send_bid(core: &Core, link: &mut Link, planned_ns: u64, index: u64) {
    let (body, mut asked) = core.requests.make(index);
    let request = core.templates.bid(body);
    let sent_ns = core.now_ns();
    asked.sent_ns = sent_ns;
    let result = link.call(request, core.plan.timeout).await;
    let now_ns = core.now_ns();
    let latency_ns = now_ns.saturating_sub(planned_ns);
    let mut stats = core.stats.borrow_mut();
    // A time-out is an answer that took at least as long; a refused connection would only flatter the figures.
    let timed = matches!(result, Ok(_) | Err(CallError::Timeout));
    if timed {
        stats.series.took(planned_ns, now_ns);
    }
    if timed && planned_ns >= core.plan.warmup_ns {
        stats.latency.record(latency_ns);
        stats.service.record(now_ns - sent_ns);
    }
    let outcomes = &mut stats.outcomes;
    let (status, body) = match result {
        Ok(answer) => answer,
        Err(error) => {
            match error {
                CallError::Timeout => outcomes.timeouts += 1,
                CallError::NotSent(_) | CallError::Broken(_) => outcomes.connection_errors += 1,
            }
            return stats.series.ended(now_ns, End::Failed);
        }
    };
    let beyond_tmax = latency_ns > u64::from(asked.tmax_ms) * 1_000_000;
    outcomes.beyond_tmax += u64::from(beyond_tmax);
    let (count, end) = match status {
        StatusCode::BAD_REQUEST if asked.broken => (&mut outcomes.broken_refused, End::Refused),
        _ if asked.broken => (&mut outcomes.broken_accepted, End::Failed),
        StatusCode::NO_CONTENT => (&mut outcomes.no_bid, End::NoBid),
        StatusCode::OK => {
            let play = core.plan.ignore_tmax || !beyond_tmax;
            // The auction counts and schedules through the same cells.
            stats.last_answer_ns = now_ns;
            drop(stats);
            let end = answered(core, &asked, &body, now_ns, play);
            return core.stats.borrow_mut().series.ended(now_ns, end);
        }
        _ if status.is_client_error() => (&mut outcomes.refused_4xx, End::Failed),
        _ if status.is_server_error() => (&mut outcomes.failed_5xx, End::Failed),
        _ => (&mut outcomes.other_status, End::Failed),
    };
    *count += 1;
    stats.last_answer_ns = now_ns;
    stats.series.ended(now_ns, end);
}

fn answered(core: &Core, asked: &Asked, body: &[u8], now_ns: u64, play: bool) -> End {
    let (bids, faults) = response::read(body, asked, &core.plan.currencies);
    {
        let mut stats = core.stats.borrow_mut();
        // An empty answer with a reason is a no-bid in a body.
        if bids.is_empty() && faults == [response::Fault::NoBids] && response::is_no_bid(body) {
            stats.outcomes.no_bid += 1;
            return End::NoBid;
        }
        for fault in faults {
            *stats.faults.entry(fault).or_default() += 1;
        }
        if bids.is_empty() {
            stats.outcomes.unusable += 1;
            return End::Failed;
        }
        stats.outcomes.bid += 1;
        stats.outcomes.bids += bids.len() as u64;
    }
    core.shared.add_bids(bids.len() as u64);
    if play {
        let notices = core.exchange.borrow_mut().play(asked, &bids, now_ns);
        notices.into_iter().for_each(|notice| core.schedule(notice));
    }
    if play { End::Bid } else { End::LateBid }
}

async fn send_notice(core: &Core, link: &mut Link, mut notice: Notice) {
    let forged = notice.entry.is_none();
    let Some(request) = core.templates.notice(&notice) else {
        core.stats.borrow_mut().notice(notice.kind, forged).unsent += 1;
        return core.end_notice(&notice, Ending::Void);
    };
    notice.attempts += 1;
    let result = link.call(request, core.plan.timeout).await;
    let now_ns = core.now_ns();
    let mut stats = core.stats.borrow_mut();
    if result.is_ok() {
        stats.series.notice(notice.due_ns, now_ns);
    }
    let counts = stats.notice(notice.kind, forged);
    counts.sent += 1;
    if notice.due_ns >= core.plan.warmup_ns && matches!(result, Ok(_) | Err(CallError::Timeout)) {
        counts.times.record(now_ns.saturating_sub(notice.due_ns));
    }
    let ending = match &result {
        Ok((StatusCode::NO_CONTENT, _)) => {
            counts.acknowledged += 1;
            Ending::Acknowledged
        }
        Ok((status, _)) => {
            *counts.statuses.entry(status.as_u16()).or_default() += 1;
            // A 5xx does not say how far the server got.
            if status.is_server_error() { Ending::Unknown } else { Ending::Void }
        }
        Err(CallError::NotSent(_)) => Ending::Void,
        Err(CallError::Broken(_) | CallError::Timeout) => Ending::Unknown,
    };
    let again = match &result {
        Ok((status, _)) => *status == StatusCode::SERVICE_UNAVAILABLE,
        Err(_) => true,
    };
    notice.maybe_received |= ending == Ending::Unknown;
    // Exchanges repeat a notice that was not acknowledged; a forger does not.
    if again && !forged && notice.attempts < core.plan.attempts && !core.is_over() {
        counts.retried += 1;
        let wait_ns = (BACKOFF_NS << (notice.attempts - 1)).min(BACKOFF_MAX_NS);
        drop(stats);
        return core.schedule(Notice { due_ns: now_ns + wait_ns, ..notice });
    }
    drop(stats);
    core.end_notice(&notice, ending);
}
