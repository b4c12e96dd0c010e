//! The checkout that is played: a check, and what follows from its answer.

use super::requests::Payment;
use super::stats::{Answer, Fault};
use crate::link::{CallError, Link};
use crate::series::End;
use crate::shard::Core;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use std::rc::Rc;

const MS: u64 = 1_000_000;
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// At least this long after the answer comes what follows from it.
const SOON_NS: u64 = 5 * MS;

/// An answered check.
#[derive(Debug)]
pub struct Paid {
    payment: Payment,
    id: String,
    answer: Bytes,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    Repeat,
    Outcome(&'static str),
    Label(&'static str),
}

/// What follows from a check, at its time.
#[derive(Debug)]
pub struct After {
    pub due_ns: u64,
    what: What,
    paid: Rc<Paid>,
}

fn replayed(headers: &HeaderMap) -> bool {
    headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

fn check(core: &Core, payment: &Payment) -> Option<Request<Full<Bytes>>> {
    let mut request = core.templates.post(Uri::from_static("/v1/fraud/checks"), payment.body.clone());
    request.headers_mut().insert(KEY, HeaderValue::from_str(&payment.key).ok()?);
    Some(request)
}

pub async fn send_check(core: &Core, link: &mut Link, planned_ns: u64, index: u64) {
    let (payment, then) = core.payments.make(index);
    // The key is made of letters and digits.
    let Some(request) = check(core, &payment) else { return };
    let sent_ns = core.now_ns();
    let result = link.call_whole(request, core.plan.timeout).await;
    let now_ns = core.now_ns();
    let mut stats = core.stats.borrow_mut();
    let timed = matches!(result, Ok(_) | Err(CallError::Timeout));
    if timed {
        stats.series.took(planned_ns, now_ns);
    }
    if timed && planned_ns >= core.plan.warmup_ns {
        stats.checks.latency.record(now_ns.saturating_sub(planned_ns));
        stats.checks.service.record(now_ns - sent_ns);
    }
    let end = match result {
        Err(CallError::Timeout) => {
            stats.checks.timeouts += 1;
            End::Failed
        }
        Err(CallError::NotSent(_) | CallError::Broken(_)) => {
            stats.checks.connection_errors += 1;
            End::Failed
        }
        Ok((StatusCode::OK, headers, body)) => {
            stats.last_answer_ns = now_ns;
            if replayed(&headers) {
                stats.checks.fault(Fault::ReplayedAtOnce);
            }
            match Answer::read(&body) {
                Err(fault) => {
                    stats.checks.fault(fault);
                    End::Failed
                }
                Ok(answer) => {
                    let end = answer.decision.end();
                    *stats.checks.decisions.entry(end.text()).or_default() += 1;
                    stats.checks.degraded += u64::from(answer.degraded);
                    let paid = Rc::new(Paid { payment, id: answer.id, answer: body });
                    let what = [
                        then.repeat.then_some((What::Repeat, 200)),
                        then.outcome.map(|status| (What::Outcome(status), 300)),
                        then.label.map(|label| (What::Label(label), 1500)),
                    ];
                    drop(stats);
                    for (what, up_to_ms) in what.into_iter().flatten() {
                        // Spread by the number: nothing depends on when answers come.
                        let due_ns = now_ns + SOON_NS + index.wrapping_mul(7919) % up_to_ms * MS;
                        core.schedule_after(After { due_ns, what, paid: Rc::clone(&paid) });
                    }
                    core.stats.borrow_mut().series.ended(now_ns, end);
                    return;
                }
            }
        }
        Ok((status, ..)) => {
            stats.last_answer_ns = now_ns;
            *stats.checks.statuses.entry(status.as_u16()).or_default() += 1;
            End::Failed
        }
    };
    stats.series.ended(now_ns, end);
}

pub async fn send_after(core: &Core, link: &mut Link, after: After) {
    let paid = &after.paid;
    let request = match after.what {
        What::Repeat => check(core, &paid.payment),
        What::Outcome(status) => {
            let path = format!("/v1/fraud/checks/{}/outcome", paid.id).parse().ok();
            path.map(|path| core.templates.post(path, format!("{{\"status\":\"{status}\"}}").into_bytes()))
        }
        What::Label(label) => {
            Some(core.templates.post(Uri::from_static("/v1/fraud/labels"), paid.payment.label(label)))
        }
    };
    // Ids were looked at when they were read.
    let Some(request) = request else { return };
    let result = link.call_whole(request, core.plan.timeout).await;
    let now_ns = core.now_ns();
    let mut stats = core.stats.borrow_mut();
    stats.series.notice(after.due_ns, now_ns);
    let checks = &mut stats.checks;
    let (status, headers, body) = match result {
        Ok(answer) => answer,
        Err(_) => return checks.after_failed += 1,
    };
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return checks.after_failed += 1;
    }
    if after.due_ns >= core.plan.warmup_ns {
        checks.after.record(now_ns.saturating_sub(after.due_ns));
    }
    match after.what {
        What::Repeat => {
            checks.repeats += 1;
            if status != StatusCode::OK || body != paid.answer {
                checks.fault(Fault::OtherReplay);
            } else if !replayed(&headers) {
                checks.fault(Fault::NotReplayed);
            }
        }
        What::Outcome(_) | What::Label(_) if status != StatusCode::NO_CONTENT => checks.fault(Fault::NotTaken),
        What::Outcome(_) => checks.outcomes += 1,
        What::Label(_) => checks.labels += 1,
    }
}
