//! A server to test against: it bids, answers notices and keeps books the way a decision server should, in one
//! locked map, and misbehaves when told to.

use crate::money::{parse_cpm, push_cpm, show_units};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

const CAMPAIGNS: u64 = 5;

/// How the fake behaves; the default is to be correct.
#[derive(Clone, Default)]
pub struct Manners {
    /// Books a repeated bill again, once in this many (0 never).
    pub double_book_every: u64,
    /// Books forged bills.
    pub believes_forgeries: bool,
    /// Stalls every connection once for this long, at this request.
    pub stall: Option<(u64, Duration)>,
    /// Answers 503 to one notice in this many.
    pub busy_every: u64,
    /// Closes the connection after booking one notice in this many, without an answer.
    pub hang_up_every: u64,
    /// Never answers one notice in this many, though it books it.
    pub silent_every: u64,
    /// Bids in USD of campaigns that spend in EUR (at 1.085).
    pub spends_eur: bool,
    /// The price text of every bid.
    pub price: Option<&'static str>,
    /// Reports money spent above the budget.
    pub overspends: bool,
    /// Decides a repeated check anew.
    pub forgets_checks: bool,
    /// Answers nothing but 204.
    pub never_bids: bool,
}

#[derive(Default)]
struct Reservation {
    price: i64,
    campaign: u64,
    test: bool,
    billed: bool,
}

#[derive(Default)]
struct Ledgers {
    reservations: Vec<Reservation>,
    spent: BTreeMap<u64, (i128, u64)>,
    /// Answers to checks, by their key.
    checks: BTreeMap<String, String>,
    repeats: u64,
}

struct State {
    manners: Manners,
    ledgers: Mutex<Ledgers>,
    requests: AtomicU64,
    notices: AtomicU64,
    stall: AtomicBool,
    stall_gate: tokio::sync::Semaphore,
}

pub struct Fake {
    pub addr: SocketAddr,
    state: Arc<State>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    pub fn start(manners: Manners) -> Fake {
        let state = Arc::new(State {
            manners,
            ledgers: Mutex::default(),
            requests: AtomicU64::new(0),
            notices: AtomicU64::new(0),
            stall: AtomicBool::new(false),
            stall_gate: tokio::sync::Semaphore::new(1),
        });
        let std_listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        std_listener.set_nonblocking(true).expect("nonblocking");
        let addr = std_listener.local_addr().expect("address");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            runtime.expect("runtime").block_on(async move {
                let listener = TcpListener::from_std(std_listener).expect("listener");
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Fake { addr, state, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn bills(&self) -> u64 {
        self.state.ledgers.lock().expect("lock").spent.values().map(|(_, bills)| bills).sum()
    }

    pub fn repeats(&self) -> u64 {
        self.state.ledgers.lock().expect("lock").repeats
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// An error makes hyper drop the connection.
async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let path = request.uri().path().to_owned();
    let manners = &state.manners;
    if state.stall.load(Relaxed) {
        // Everyone waits until the stall is over.
        drop(state.stall_gate.acquire().await);
    }
    if path.starts_with("/openrtb2/") {
        let number = state.requests.fetch_add(1, Relaxed);
        if let Some((at, time)) = manners.stall
            && number == at
        {
            let _gate = state.stall_gate.acquire().await;
            state.stall.store(true, Relaxed);
            tokio::time::sleep(time).await;
            state.stall.store(false, Relaxed);
        }
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        return Ok(bid(&state, &body, number));
    }
    if path == "/v1/fraud/checks" {
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
        return Ok(check(&state, key));
    }
    if path.starts_with("/v1/fraud/") || path.starts_with("/v1/models/") || request.method() == hyper::Method::PUT {
        return Ok(reply(StatusCode::NO_CONTENT, ""));
    }
    if let Some(notice) = path.strip_prefix("/n/") {
        let every = |n: u64, count: u64| n > 0 && count % n == n - 1;
        let count = state.notices.fetch_add(1, Relaxed);
        if every(manners.busy_every, count) {
            return Ok(reply(StatusCode::SERVICE_UNAVAILABLE, ""));
        }
        let (kind, token) = notice.split_once('/').unwrap_or((notice, ""));
        take_notice(&state, kind, token, request.uri().query().unwrap_or(""));
        if every(manners.hang_up_every, count) {
            return Err(std::io::Error::other("hung up"));
        }
        if every(manners.silent_every, count) {
            std::future::pending::<()>().await;
        }
        return Ok(reply(StatusCode::NO_CONTENT, ""));
    }
    Ok(admin(&state, &path))
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    #[serde(default)]
    cur: Vec<String>,
    #[serde(default)]
    test: u8,
    imp: Vec<AskedImp>,
}

#[derive(Deserialize)]
struct AskedImp {
    id: String,
    #[serde(default)]
    bidfloor: f64,
}

fn check(state: &State, key: Option<&str>) -> Response<Full<Bytes>> {
    let Some(key) = key else { return reply(StatusCode::BAD_REQUEST, "") };
    let mut ledgers = state.ledgers.lock().expect("lock");
    let known = ledgers.checks.get(key).cloned().filter(|_| !state.manners.forgets_checks);
    let number = state.requests.fetch_add(1, Relaxed);
    let decision = ["allow", "review", "challenge", "deny"][number as usize % 4];
    let new = || {
        format!(
            "{{\"id\":\"chk_{number}\",\"decision\":\"{decision}\",\"risk_score\":7,\"degraded\":{}}}",
            number.is_multiple_of(10)
        )
    };
    let mut response = reply(StatusCode::OK, known.clone().unwrap_or_else(new));
    if known.is_some() {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    ledgers.checks.entry(key.to_owned()).or_insert_with(new);
    response
}

/// A token no one can guess from its number.
fn token(number: u64) -> String {
    format!("{number:016x}{:016x}", (number ^ 0xabcd_ef01).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29))
}

fn bid(state: &State, body: &[u8], number: u64) -> Response<Full<Bytes>> {
    let asked: Asked = match serde_json::from_slice(body) {
        Ok(Asked { imp, .. }) if imp.is_empty() => return reply(StatusCode::BAD_REQUEST, ""),
        Err(_) => return reply(StatusCode::BAD_REQUEST, ""),
        Ok(asked) => asked,
    };
    if number % 10 == 9 || state.manners.never_bids {
        return reply(StatusCode::NO_CONTENT, "");
    }
    let currency = asked.cur.first().map_or("USD", String::as_str);
    let mut out =
        format!("{{\"id\":\"{}\",\"cur\":\"{currency}\",\"seatbid\":[{{\"seat\":\"fake\",\"bid\":[", asked.id);
    for (position, imp) in asked.imp.iter().enumerate() {
        let floor = (imp.bidfloor * 1e6).round() as i64;
        let price = floor + 1 + ((number * 7919 + position as u64) % 2_000_003) as i64;
        let campaign = (number + position as u64) % CAMPAIGNS;
        let mut ledgers = state.ledgers.lock().expect("lock");
        let token = token(ledgers.reservations.len() as u64);
        ledgers.reservations.push(Reservation { price, campaign, test: asked.test == 1, billed: false });
        drop(ledgers);
        out.push_str(if position > 0 { ",{\"price\":" } else { "{\"price\":" });
        match state.manners.price {
            Some(text) => out.push_str(text),
            None => push_cpm(&mut out, price),
        }
        let query = "p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}";
        out.push_str(&format!(
            ",\"id\":\"b{number}-{position}\",\"impid\":\"{}\",\"cid\":\"c-{campaign}\",\"crid\":\"cr\",\
             \"adm\":\"<a href=\\\"https://x\\\">\",\"nurl\":\"https://localhost/n/win/{token}?{query}\",\
             \"burl\":\"https://localhost/n/bill/{token}?{query}\",\
             \"lurl\":\"https://localhost/n/loss/{token}?l=${{AUCTION_LOSS}}&m=${{AUCTION_MIN_TO_WIN}}\"}}",
            imp.id
        ));
    }
    out.push_str("]}]}");
    reply(StatusCode::OK, out)
}

fn take_notice(state: &State, kind: &str, text: &str, query: &str) {
    let number = text.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let mut ledgers = state.ledgers.lock().expect("lock");
    let ledgers = &mut *ledgers;
    let genuine = number.filter(|number| token(*number) == text);
    let Some(number) = (if state.manners.believes_forgeries { number.or(Some(0)) } else { genuine }) else { return };
    let count = ledgers.reservations.len() as u64;
    let number = if genuine.is_none() { number % count.max(1) } else { number };
    let Some(reservation) = ledgers.reservations.get_mut(number as usize) else { return };
    let price = query.split('&').find_map(|pair| pair.strip_prefix("p=")).and_then(parse_cpm);
    let (Some(price), "bill", false) = (price, kind, reservation.test) else { return };
    if reservation.billed && genuine.is_some() {
        ledgers.repeats += 1;
        let every = state.manners.double_book_every;
        if every == 0 || !ledgers.repeats.is_multiple_of(every) {
            return;
        }
    }
    reservation.billed |= genuine.is_some();
    let mut nanos = i128::from(price.min(reservation.price));
    if state.manners.spends_eur {
        nanos = (nanos * 1000 + 1084) / 1085;
    }
    let (spent, bills) = ledgers.spent.entry(reservation.campaign).or_default();
    *spent += nanos;
    *bills += 1;
}

fn admin(state: &State, path: &str) -> Response<Full<Bytes>> {
    let ledgers = state.ledgers.lock().expect("lock");
    if path == "/v1/books" {
        let rows: Vec<String> = ledgers
            .spent
            .iter()
            .map(|(campaign, (spent, bills))| {
                let spent = show_units(*spent);
                format!("{{\"campaign\":\"c-{campaign}\",\"day\":\"2026-01-01\",\"spent\":\"{spent}\",\"late\":\"0.00\",\"billed\":{bills}}}")
            })
            .collect();
        return reply(StatusCode::OK, format!("[{}]", rows.join(",")));
    }
    let campaign = path.strip_prefix("/v1/campaigns/c-").and_then(|rest| rest.strip_suffix("/account"));
    let Some(campaign) = campaign.and_then(|number| number.parse::<u64>().ok()) else {
        return reply(StatusCode::NOT_FOUND, "");
    };
    let (spent, bills) = ledgers.spent.get(&campaign).copied().unwrap_or_default();
    let currency = if state.manners.spends_eur { "EUR" } else { "USD" };
    let overspend = if state.manners.overspends { "0.000000001" } else { "0.00" };
    reply(
        StatusCode::OK,
        format!(
            "{{\"currency\":\"{currency}\",\"budget\":\"1000.00\",\"available\":\"1.00\",\"reserved\":\"0.00\",\
             \"withheld\":\"0.00\",\"spent\":\"{}\",\"late\":\"0.00\",\"overspend\":\"{overspend}\",\"bids\":0,\"wins\":0,\
             \"billed\":{bills}}}",
            show_units(spent)
        ),
    )
}
