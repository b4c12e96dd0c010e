//! What is done to the server while it is under load: models put in force, campaigns edited and added, slow clients.

use super::catalog;
use super::file::{Activate, Meanwhile, Put, ServerSpec, Slow};
use super::slow;
use crate::interrupt;
use crate::link::Link;
use crate::plan::{AdminPlan, Plan};
use crate::requests::Requests;
use crate::stats::Times;
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

const TIMEOUT: Duration = Duration::from_secs(30);

/// What was done, by its name.
#[derive(Default)]
pub struct Done {
    pub deeds: BTreeMap<&'static str, Deed>,
    pub slow: slow::Counts,
}

#[derive(Default)]
pub struct Deed {
    pub done: u64,
    pub failed: u64,
    /// Of the failures, the first.
    pub first_failure: Option<String>,
    pub times: Times,
}

type Shared = Arc<Mutex<Done>>;

/// Goes on until it is ended or dropped.
pub struct Going {
    done: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Going {
    /// Begins at `start`. `plan` says where the traffic goes.
    pub fn start(what: &Meanwhile, spec: &ServerSpec, plan: &Plan, admin: AdminPlan, start: Instant) -> Going {
        let done = Shared::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let (what, spec, plan, all) = (what.clone(), spec.clone(), plan.clone(), Arc::clone(&done));
        let run = move || {
            let built = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            let Ok(runtime) = built else { return };
            runtime.block_on(async move {
                tokio::time::sleep_until(start.into()).await;
                if let Some(activate) = what.activate {
                    tokio::task::spawn_local(activate_in_turn(activate, Operator::new(&admin), Arc::clone(&all)));
                }
                if let Some(put) = what.put {
                    tokio::task::spawn_local(put_campaigns(put, spec, Operator::new(&admin), Arc::clone(&all)));
                }
                if let Some(slow) = what.slow {
                    slow_clients(&slow, &plan, &all);
                }
                // An error is that nobody will ever ask for the end.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("meanwhile".to_owned()).spawn(run).ok();
        Going { done, stop: Some(stop), thread }
    }

    pub fn end(mut self) -> Done {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Asks the admin listener.
struct Operator {
    link: Link,
    host: Option<HeaderValue>,
    token: Option<HeaderValue>,
}

impl Operator {
    fn new(plan: &AdminPlan) -> Operator {
        let token = plan.token.as_ref().and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let host = HeaderValue::from_str(&plan.endpoint.host).ok();
        Operator { link: Link::new(plan.endpoint.addr), host, token }
    }

    async fn ask(&mut self, all: &Shared, name: &'static str, method: Method, path: &str, body: Vec<u8>) {
        let began = Instant::now();
        let result = self.call(method, path, body).await;
        let mut done = all.lock().unwrap_or_else(PoisonError::into_inner);
        let deed = done.deeds.entry(name).or_default();
        match result {
            Ok(()) => {
                deed.done += 1;
                deed.times.record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            Err(error) => {
                deed.failed += 1;
                deed.first_failure.get_or_insert(error);
            }
        }
    }

    async fn call(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<(), String> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.uri_mut() = path.parse().map_err(|error| format!("{path}: {error}"))?;
        *request.method_mut() = method;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.host.clone().map(|host| headers.insert(HOST, host));
        self.token.clone().map(|token| headers.insert(AUTHORIZATION, token));
        match self.link.call(request, TIMEOUT).await {
            Ok((status, _)) if status.is_success() => Ok(()),
            Ok((status, body)) => {
                let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
                Err(format!("{path}: {status} {text}"))
            }
            Err(error) => Err(format!("{path}: {error}")),
        }
    }
}

/// One after the other; what is due while one is under way is left out.
fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

async fn activate_in_turn(activate: Activate, mut operator: Operator, all: Shared) {
    let mut ticks = ticks(activate.every);
    for version in activate.versions.iter().cycle() {
        ticks.tick().await;
        if interrupt::count() > 0 {
            return;
        }
        let path = format!("/v1/models/{}/{version}/activate", activate.model);
        operator.ask(&all, "model activated", Method::POST, &path, Vec::new()).await;
    }
}

async fn put_campaigns(put: Put, spec: ServerSpec, mut operator: Operator, all: Shared) {
    let (mut ticks, mut rng) = (ticks(put.every), Rng::with_seed(spec.seed));
    let (mut known, mut revision) = (u64::from(spec.campaigns), 0);
    loop {
        ticks.tick().await;
        if interrupt::count() > 0 {
            return;
        }
        revision += 1;
        let is_new = known == 0 || rng.f64() < put.new;
        let number = if is_new { known } else { rng.u64(..known) };
        known += u64::from(is_new);
        let campaign = catalog::campaign(spec.seed, number, revision).to_string().into_bytes();
        let name = match (is_new, revision % 2) {
            (true, _) => "campaign added",
            (false, 0) => "price edited",
            (false, _) => "price and targeting edited",
        };
        let path = format!("/v1/campaigns/{}", catalog::id(number));
        operator.ask(&all, name, Method::PUT, &path, campaign).await;
    }
}

fn slow_clients(slow: &Slow, plan: &Plan, all: &Shared) {
    // Numbers that the load itself will not come to.
    let requests = std::rc::Rc::new(Requests::new(plan));
    let path = format!("/openrtb2/{}", plan.exchange);
    for number in 0..slow.senders + slow.readers {
        let client = slow::Client {
            requests: std::rc::Rc::clone(&requests),
            first: (1 << 40) + (u64::from(number) << 20),
            addr: plan.target.addr,
            head: format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", plan.target.host),
            every: slow.every,
            counts: Arc::clone(all),
        };
        match number < slow.senders {
            true => drop(tokio::task::spawn_local(client.send_bytes(number % 2 == 0))),
            false => drop(tokio::task::spawn_local(client.read_nothing())),
        }
    }
}
