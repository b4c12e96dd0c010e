//! Paths of the admin listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::campaigns::Campaigns;
use super::edit;
use super::fraud::{self, FraudEdits};
use super::models::{self, ModelApi};
use super::problem::{Answer, Problem, with_body};
use crate::bidding::pacing::pace::{ONE, Order};
use crate::ledger::Books;
use crate::ledger::hot::{AccountView, DayView};
use crate::ledger::marks::Marks;

const JSON: &str = "application/json";
/// Largest body of an admin request.
const MAX_BODY_BYTES: usize = 2 << 20;
/// For a whole body to come: stuck uploads must not take the connections of health checks.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// Campaigns in one page of the list.
const PAGE: usize = 1_000;

/// What the admin listener answers from.
pub struct Admin {
    pub campaigns: Arc<Campaigns>,
    pub models: ModelApi,
    pub books: Arc<std::sync::Mutex<Books>>,
    pub ready: Arc<AtomicBool>,
    pub fraud: Arc<FraudEdits>,
    /// Required of everything but `/live` and `/ready`, when set.
    pub token: Option<String>,
    /// Campaigns that the log says were edited, where other nodes edit too.
    pub edited: Option<Arc<Marks>>,
}

/// Answers one request.
pub async fn answer(admin: Arc<Admin>, request: Request<Incoming>) -> Answer {
    let answer = match route(&admin, request).await {
        Ok(answer) => answer,
        Err(problem) => problem.answer(),
    };
    let class = match answer.status().as_u16() {
        200..300 => "2xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    admin.campaigns.metrics.counters.admin_requests.get_or_create(&[("status", class)]).inc();
    answer
}

async fn route(admin: &Arc<Admin>, request: Request<Incoming>) -> Result<Answer, Problem> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let get = || if method == Method::GET { Ok(()) } else { Err(Problem::not_allowed("GET")) };
    match path.as_str() {
        "/live" => return get().map(|()| with_body(StatusCode::OK, "text/plain", "live\n")),
        "/ready" => return get().map(|()| ready(admin)),
        _ => authorize(admin, request.headers().get(AUTHORIZATION))?,
    }
    match path.as_str() {
        "/metrics" => {
            get()?;
            let text = admin.campaigns.metrics.text();
            return Ok(with_body(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text));
        }
        "/openapi.json" => {
            return get().map(|()| with_body(StatusCode::OK, JSON, include_str!("openapi.json")));
        }
        "/v1/books" => return get().map(|()| books(admin)),
        "/v1/campaigns" => return get().map(|()| list(admin, request.uri().query().unwrap_or(""))),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/v1/fraud/") {
        return fraud::answer(&admin.fraud, rest, request).await;
    }
    if let Some(rest) = path.strip_prefix("/v1/models").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        return models::answer(&admin.models, rest, request).await;
    }
    let Some(rest) = path.strip_prefix("/v1/campaigns/") else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}; see /openapi.json")));
    };
    match rest.split_once('/') {
        Some((id, "account")) => get().and_then(|()| account(admin, id)),
        Some(_) => Err(Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}; see /openapi.json"))),
        None => campaign(admin, rest, method, request).await,
    }
}

async fn campaign(admin: &Arc<Admin>, id: &str, method: Method, request: Request<Incoming>) -> Result<Answer, Problem> {
    match method {
        Method::GET => {
            let present = admin.campaigns.registry().present.get(id).map(|p| p.compiled.json.text());
            present.map(|json| with_body(StatusCode::OK, JSON, json)).ok_or_else(|| no_campaign(id))
        }
        Method::PUT => {
            let body = read_body(request, MAX_BODY_BYTES).await?;
            let (campaigns, id, body) = (admin.campaigns.clone(), id.to_owned(), body);
            let (new, json) = to_its_end(async move { edit::put(&campaigns, &id, &body).await }).await?;
            Ok(with_body(if new { StatusCode::CREATED } else { StatusCode::OK }, JSON, json))
        }
        Method::DELETE => {
            let (campaigns, id) = (admin.campaigns.clone(), id.to_owned());
            to_its_end(async move { edit::delete(&campaigns, &id).await }).await?;
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NO_CONTENT;
            Ok(answer)
        }
        _ => Err(Problem::not_allowed("GET, PUT, DELETE")),
    }
}

/// The whole body, within bounds of bytes and time.
pub(super) async fn read_body(request: Request<Incoming>, max_bytes: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), max_bytes).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
        .map_err(|_| {
            let detail = format!("the body broke off or is above {max_bytes} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        })?;
    Ok(body.to_bytes())
}

/// Makes an edit whole although the client may go away: half of one would be in the log and not in force.
pub(super) async fn to_its_end<T: Send + 'static>(
    edit: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let panicked = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the edit broke off; see the log lines");
    tokio::spawn(edit).await.map_err(panicked)?
}

fn no_campaign(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no campaign {id:?}"))
}

fn ready(admin: &Admin) -> Answer {
    if admin.ready.load(Ordering::Relaxed) {
        with_body(StatusCode::OK, "text/plain", "ready\n")
    } else {
        with_body(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "not ready\n")
    }
}

/// Compares hashes, so that the time it takes says nothing about how much was right.
fn authorize(admin: &Admin, header: Option<&HeaderValue>) -> Result<(), Problem> {
    let Some(token) = &admin.token else { return Ok(()) };
    let given = header.and_then(|h| h.to_str().ok()).and_then(|h| h.strip_prefix("Bearer ")).unwrap_or("");
    if Sha256::digest(given.trim()) == Sha256::digest(token) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNAUTHORIZED, "bring the admin token as Authorization: Bearer <token>"))
}

fn list(admin: &Admin, query: &str) -> Answer {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let after = parameter("after").unwrap_or("");
    let limit = parameter("limit").and_then(|n| n.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let registry = admin.campaigns.registry();
    let page = registry.present.range::<str, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
    let campaigns: Vec<String> = page.take(limit).map(|(_, p)| p.compiled.json.text()).collect();
    with_body(StatusCode::OK, JSON, format!("[{}]", campaigns.join(",")))
}

fn account(admin: &Admin, id: &str) -> Result<Answer, Problem> {
    let no = admin.campaigns.registry().known(id).ok_or_else(|| no_campaign(id))?;
    let view = admin.campaigns.hot().view(no).ok_or_else(|| no_campaign(id))?;
    let paced = admin.campaigns.registry().present.get(id).and_then(|present| present.live.pace.last());
    let mut account = account_json(&view);
    if let Some(today) = &view.today {
        account["daily"] = day_json(today);
    }
    if let Some(order) = paced {
        account["pacing"] = pacing_json(&order);
    }
    Ok(with_body(StatusCode::OK, JSON, account.to_string()))
}

/// Of the plan's period: its amount, what should be spent by now, and what counts as spent, with what is expected of
/// bids whose notices have not come yet.
fn pacing_json(order: &Order) -> Value {
    json!({
        "multiplier": f64::from(order.multiplier) / f64::from(ONE),
        "amount": order.amount.to_string(),
        "planned": order.planned.to_string(),
        "counted": order.counted.to_string(),
    })
}

fn account_json(v: &AccountView) -> Value {
    json!({
        "currency": v.currency.as_str(),
        "budget": v.budget.to_string(),
        "available": v.available.to_string(),
        "reserved": v.reserved.to_string(),
        "withheld": v.withheld.to_string(),
        "withheld_for_s": (v.withheld_ms + 999) / 1_000,
        "held": v.held.to_string(),
        "event": v.at.0,
        "spent": v.spent.to_string(),
        "late": v.late.to_string(),
        "overspend": v.overspend.to_string(),
        "bids": v.bids,
        "wins": v.wins,
        "billed": v.billed,
    })
}

fn day_json(v: &DayView) -> Value {
    json!({
        "day": v.day.to_string(),
        "budget": v.budget.to_string(),
        "spent": v.spent.to_string(),
        "available": v.available.to_string(),
        "overspend": v.overspend.to_string(),
    })
}

/// Every campaign and day with something booked, by campaign id and day.
fn books(admin: &Admin) -> Answer {
    let mut rows = Vec::new();
    {
        let books = admin.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for book in books.campaigns.values() {
            rows.extend(book.days.iter().map(|(day, d)| (book.id.clone(), *day, *d)));
        }
    }
    rows.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(campaign, day, d)| {
            json!({
                "campaign": campaign,
                "day": day.to_string(),
                "spent": d.spent.to_string(),
                "late": d.late.to_string(),
                "billed": d.billed,
            })
        })
        .collect();
    with_body(StatusCode::OK, JSON, Value::Array(rows).to_string())
}
