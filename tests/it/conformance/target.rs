//! The server that a line is checked against: one of its own, one that was named, or the stub.

use std::cell::RefCell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::meta::Stub;
use super::{Check, Line, Needs};
use crate::http::{Answer, Client};
use crate::make::{banner, with};
use crate::server::{self, Account, Server};

/// How long a campaign that was just put may take until it bids: its first lease has to become durable.
const FIRST_BID: Duration = Duration::from_secs(5);
const BIDS: &str = "/openrtb2/demo";

/// What the environment names.
#[derive(Clone, Debug)]
pub struct Given {
    traffic: SocketAddr,
    admin: Option<SocketAddr>,
    token: Option<String>,
}

impl Given {
    pub fn from_env() -> Option<Given> {
        let address = |name: &str| {
            let url = std::env::var(name).ok()?;
            let host = url.strip_prefix("http://").unwrap_or_else(|| panic!("{name} must be http://host:port"));
            let found = host.trim_end_matches('/').to_socket_addrs().ok().and_then(|mut all| all.next());
            Some(found.unwrap_or_else(|| panic!("{name}: no address for {host}")))
        };
        let token = std::env::var("GAVEL_ADMIN_TOKEN").ok();
        Some(Given { traffic: address("GAVEL_TARGET")?, admin: address("GAVEL_ADMIN"), token })
    }
}

pub struct Target {
    traffic: SocketAddr,
    admin: Option<SocketAddr>,
    token: Option<String>,
    server: Option<Server>,
    stub: Option<Stub>,
    clients: RefCell<[Option<Client>; 2]>,
    /// In the ids of all its campaigns, and the only place where they want to be shown.
    pub run: String,
    campaigns: RefCell<Vec<String>>,
}

impl Target {
    /// For `line`; or why it cannot be checked here.
    pub fn of(line: &Line, given: Option<&Given>) -> Result<Target, String> {
        let Some(given) = given else {
            let demo: Vec<Value> = serde_json::from_str(gavel::bidding::demo::JSON).unwrap();
            let campaigns = if line.needs == Needs::Demo { demo } else { Vec::new() };
            let server = Server::start(line.config, &campaigns);
            let (traffic, admin) = (server.traffic(), Some(server.admin()));
            return Ok(Target::new(traffic, admin, None, Some(server), None));
        };
        match line.needs {
            Needs::Config => Err("it needs a configuration of its own".to_owned()),
            Needs::Campaigns if given.admin.is_none() => {
                Err("it puts campaigns of its own: name the admin listener in GAVEL_ADMIN".to_owned())
            }
            _ => Ok(Target::new(given.traffic, given.admin, given.token.clone(), None, None)),
        }
    }

    /// A server that answers 204 to everything, on both listeners.
    pub fn stub(stub: Stub) -> Target {
        Target::new(stub.address, Some(stub.address), None, None, Some(stub))
    }

    fn new(
        traffic: SocketAddr,
        admin: Option<SocketAddr>,
        token: Option<String>,
        server: Option<Server>,
        stub: Option<Stub>,
    ) -> Target {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = format!("run-{}-{}.example", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        Target { traffic, admin, token, server, stub, clients: RefCell::default(), run, campaigns: RefCell::default() }
    }

    /// The server, where it is our own: with its configuration and in this process.
    pub fn own(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub fn address(&self) -> SocketAddr {
        self.traffic
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.traffic)
    }

    /// A request on a connection that is kept: to the traffic listener, or the admin one.
    fn call(&self, admin: bool, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        let address = if admin { self.admin.ok_or("no admin listener is known")? } else { self.traffic };
        let mut clients = self.clients.borrow_mut();
        let client = clients[usize::from(admin)].get_or_insert_with(|| Client::connect(address));
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            bearer.iter().filter(|_| admin).map(|b| ("Authorization", b.as_str())).collect();
        let answer = client.try_request(method, path, &headers, body);
        if answer.is_err() {
            clients[usize::from(admin)] = None;
        }
        answer.map_err(|e| format!("{method} {path}: {e}"))
    }

    pub fn get(&self, path: &str) -> Result<Answer, String> {
        self.call(false, "GET", path, b"")
    }

    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        self.call(false, method, path, body)
    }

    /// A body to the bid path.
    pub fn post(&self, body: impl AsRef<[u8]>) -> Result<Answer, String> {
        self.call(false, "POST", BIDS, body.as_ref())
    }

    /// The response to a request, checked for what every response must be; none for a 204.
    pub fn ask(&self, request: &Value) -> Result<Option<Value>, String> {
        response(&self.post(request.to_string())?, request)
    }

    /// Its bids, in any seat.
    pub fn bids(&self, request: &Value) -> Result<Vec<Value>, String> {
        let Some(response) = self.ask(request)? else { return Ok(Vec::new()) };
        let seats = response["seatbid"].as_array().into_iter().flatten();
        Ok(seats.flat_map(|seat| seat["bid"].as_array().cloned().unwrap_or_default()).collect())
    }

    /// The bids of the campaigns that this run put.
    pub fn ours(&self, request: &Value) -> Result<Vec<Value>, String> {
        let mut bids = self.bids(request)?;
        bids.retain(|bid| bid["cid"].as_str().is_some_and(|cid| cid.starts_with(&self.run)));
        Ok(bids)
    }

    /// The first of them, as soon as there is one.
    pub fn bid(&self, request: &Value) -> Result<Value, String> {
        let started = Instant::now();
        loop {
            if let Some(bid) = self.ours(request)?.into_iter().next() {
                return Ok(bid);
            }
            ensure!(self.stub.is_none() && started.elapsed() < FIRST_BID, "no bid for {request}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A bid for a request that any campaign may answer.
    pub fn any_bid(&self, request: &Value) -> Result<Value, String> {
        let started = Instant::now();
        loop {
            if let Some(bid) = self.bids(request)?.into_iter().next() {
                return Ok(bid);
            }
            ensure!(self.stub.is_none() && started.elapsed() < FIRST_BID, "no bid for {request}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// That there is none of ours, now that there could be: call it after [`Target::bid`].
    pub fn no_bid(&self, request: &Value) -> Check {
        let bids = self.ours(request)?;
        ensure!(bids.is_empty(), "{request} was bid for: {bids:?}");
        Ok(())
    }

    /// A campaign of this run: a CPM of 9.00 for a banner of 300x250, on this run's site only.
    pub fn campaign(&self, name: &str, patch: Value) -> Value {
        let id = self.id(name);
        let plain = json!({
            "id": id, "currency": "USD", "budget": {"total": "100000.00"}, "bid": {"type": "cpm", "price": "9.00"},
            "targeting": {"inventory": {"include": [self.run]}}, "creatives": [banner(&format!("{name}-banner"))],
        });
        with(plain, patch)
    }

    pub fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.run)
    }

    /// One banner impression of 300x250 on this run's site, first price. A busy machine has the time for it.
    pub fn request(&self) -> Value {
        json!({
            "id": "r-1", "at": 1, "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}], "site": {"domain": self.run},
            "tmax": 10_000,
        })
    }

    /// Puts a campaign. The stub has them all already: it is not the setting up that it is to fail at.
    pub fn put(&self, campaign: &Value) -> Check {
        if self.stub.is_some() {
            return Ok(());
        }
        let id = campaign["id"].as_str().unwrap_or_default();
        let answer = self.call(true, "PUT", &format!("/v1/campaigns/{id}"), campaign.to_string().as_bytes())?;
        ensure!(matches!(answer.status, 200 | 201), "PUT of {id} is {}: {}", answer.status, lossy(&answer));
        self.campaigns.borrow_mut().push(id.to_owned());
        Ok(())
    }

    /// The only campaign of a line, as [`Target::campaign`] makes it.
    pub fn put_one(&self, patch: Value) -> Check {
        self.put(&self.campaign("a", patch))
    }

    pub fn account(&self, name: &str) -> Result<Account, String> {
        let answer = self.call(true, "GET", &format!("/v1/campaigns/{}/account", self.id(name)), b"")?;
        ensure!(answer.status == 200, "the account of {name} is {}", answer.status);
        Ok(server::account(&parse(&answer)?))
    }

    /// What the books say of a campaign, once they say it: spent, late, billed. They lag by at most a second.
    pub fn booked(&self, name: &str, expected: (i64, i64, u64)) -> Check {
        let started = Instant::now();
        loop {
            let answer = self.call(true, "GET", "/v1/books", b"")?;
            ensure!(answer.status == 200, "the books are {}", answer.status);
            let told = server::sum(&server::rows(&parse(&answer)?), &self.id(name));
            if told == expected {
                return Ok(());
            }
            let late = started.elapsed() > Duration::from_secs(2);
            ensure!(!late, "the books say (spent, late, billed) = {told:?} of {name}, not {expected:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The number after a metric's name and labels, 0 when it has not been counted yet; none without an admin listener.
    pub fn metric(&self, name: &str) -> Result<Option<f64>, String> {
        if self.admin.is_none() {
            return Ok(None);
        }
        let answer = self.call(true, "GET", "/metrics", b"")?;
        ensure!(answer.status == 200, "the metrics are {}", answer.status);
        let text = lossy(&answer);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(Some(value.map_or(0.0, |value| value.parse().unwrap_or(f64::NAN))))
    }

    /// Calls a notice URL, whatever host it names.
    pub fn notice(&self, url: &str) -> Check {
        self.notice_by("GET", url)
    }

    pub fn notice_by(&self, method: &str, url: &str) -> Check {
        let path = url.strip_prefix("https://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
        let path = path.ok_or_else(|| format!("{url} is not absolute https"))?;
        let answer = self.call(false, method, path, b"")?;
        ensure!(answer.status == 204 && answer.body.is_empty(), "{method} {url} is {}", answer.status);
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // A server that goes on is left as it was found; one of our own ends anyway.
        if self.server.is_none() && self.stub.is_none() {
            for id in self.campaigns.take() {
                let _gone = self.call(true, "DELETE", &format!("/v1/campaigns/{id}"), b"");
            }
        }
        *self.clients.borrow_mut() = [None, None];
    }
}

pub fn lossy(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

pub fn parse(answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|e| format!("{e}: {}", lossy(answer)))
}

/// A text field that must be there and say something.
pub fn text<'v>(value: &'v Value, field: &str) -> Result<&'v str, String> {
    value[field].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("no {field} in {value}"))
}

/// What every answer of the bid path must be: the bids of 200, or a 204 that is empty.
pub fn response(answer: &Answer, request: &Value) -> Result<Option<Value>, String> {
    if answer.status == 204 {
        ensure!(answer.body.is_empty() && answer.header("content-encoding").is_none(), "a 204 that is not empty");
        return Ok(None);
    }
    ensure!(answer.status == 200, "{} for {request}", answer.status);
    let response = parse(answer)?;
    ensure!(response["id"] == request["id"], "the id became {} for {request}", response["id"]);
    let cur = text(&response, "cur")?;
    let asked = request["cur"].as_array().filter(|list| !list.is_empty());
    let allowed = asked.map_or(cur == "USD", |list| list.iter().any(|c| c == cur));
    ensure!(allowed, "cur is {cur} for {request}");
    let seats = response["seatbid"].as_array().filter(|seats| !seats.is_empty());
    for seat in seats.ok_or_else(|| format!("no seatbid in {response}"))? {
        text(seat, "seat")?;
        let bids = seat["bid"].as_array().filter(|bids| !bids.is_empty());
        for bid in bids.ok_or_else(|| format!("a seat without bids: {response}"))? {
            self::bid(bid, request)?;
        }
    }
    Ok(Some(response))
}

/// What every bid must have.
fn bid(bid: &Value, request: &Value) -> Check {
    text(bid, "id")?;
    ensure!(text(bid, "crid")?.len() <= 128, "a crid of more than 128 bytes");
    let impid = text(bid, "impid")?;
    let imp = request["imp"].as_array().into_iter().flatten().find(|imp| imp["id"] == impid);
    let imp = imp.ok_or_else(|| format!("impid {impid} is not in {request}"))?;
    let price = bid["price"].as_f64().unwrap_or(f64::NAN);
    ensure!(price > 0.0 || (price == 0.0 && bid["dealid"].is_string()), "a price of {}", bid["price"]);
    let format = match bid["mtype"].as_u64() {
        Some(1) => "banner",
        Some(2) => "video",
        Some(3) => "audio",
        Some(4) => "native",
        other => return Err(format!("an mtype of {other:?}")),
    };
    ensure!(imp[format].is_object(), "mtype is {format} for {imp}");
    ensure!(bid["adomain"].as_array().is_some_and(|list| !list.is_empty()), "no adomain in {bid}");
    if bid["dealid"].is_string() {
        let deals = imp["pmp"]["deals"].as_array();
        ensure!(deals.into_iter().flatten().any(|deal| deal["id"] == bid["dealid"]), "a dealid that is not in {imp}");
    }
    Ok(())
}
