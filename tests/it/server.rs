//! A gavel in this process, on free ports and a directory of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use gavel::app::App;
use gavel::config::RawConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Answer, Client};
use crate::make::{nanos, substitute};

pub struct Server {
    pub dir: TempDir,
    app: Mutex<Option<App>>,
    addresses: Option<(SocketAddr, SocketAddr)>,
    clients: Mutex<Option<(Client, Client)>>,
}

/// `GET /v1/campaigns/{id}/account`, money in nanos.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub currency: String,
    pub budget: i64,
    pub available: i64,
    pub reserved: i64,
    pub withheld: i64,
    pub spent: i64,
    pub late: i64,
    pub overspend: i64,
    pub bids: u64,
    pub wins: u64,
    pub billed: u64,
}

/// One row of `GET /v1/books`, money in nanos.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub campaign: String,
    pub day: String,
    pub spent: i64,
    pub late: i64,
    pub billed: u64,
}

/// Writes `gavel.toml` and `campaigns.json` into `dir`. `config` may hold any keys; tables that it does not name get
/// small sizes, so that a start is cheap.
pub fn write_files(dir: &Path, config: &str, campaigns: &[Value]) {
    let mut text = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
                    catalog = [\"campaigns.json\"]\n"
        .to_owned();
    text.push_str(config);
    for (table, small) in
        [("log", "segment_bytes = 1048576"), ("frequency", "max_bytes = 1048576"), ("limits", "workers = 2")]
    {
        if !config.contains(&format!("[{table}]")) {
            text.push_str(&format!("\n[{table}]\n{small}\n"));
        }
    }
    std::fs::write(dir.join("gavel.toml"), text).unwrap();
    std::fs::write(dir.join("campaigns.json"), serde_json::to_string_pretty(campaigns).unwrap()).unwrap();
}

/// Waits until it holds, at most two seconds.
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_for(Duration::from_secs(2), what, holds);
}

#[track_caller]
pub fn wait_for(at_most: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < at_most, "not within {at_most:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Server {
    pub fn start(config: &str, campaigns: &[Value]) -> Server {
        Server::start_with(config, campaigns, |_| {})
    }

    /// With more files in its directory.
    pub fn start_with(config: &str, campaigns: &[Value], write_more: impl FnOnce(&Path)) -> Server {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), config, campaigns);
        write_more(dir.path());
        let mut server = Server { dir, app: Mutex::new(None), addresses: None, clients: Mutex::new(None) };
        server.run();
        server
    }

    /// The built-in demo.
    pub fn start_demo() -> Server {
        Server::start_with("", &[], |dir| {
            let path = dir.join("gavel.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("catalog = [\"campaigns.json\"]\n", "")).unwrap();
        })
    }

    /// Starts on what is in the directory.
    pub fn try_run(&mut self) -> Result<(), String> {
        let raw = RawConfig::read(Some(&self.dir.path().join("gavel.toml"))).map_err(|f| f.to_string())?;
        let config = raw.check().map_err(|faults| faults.iter().map(|f| format!("{f}\n")).collect::<String>())?;
        let app = App::start(config).map_err(|e| e.to_string())?;
        self.addresses = Some((app.traffic, app.admin));
        *self.app.lock().unwrap() = Some(app);
        Ok(())
    }

    pub fn run(&mut self) {
        // A process that another test has just forked holds the log's lock until it becomes another program.
        wait_until("the log is free", || match self.try_run() {
            Err(error) if error.contains("in use by another gavel process") => false,
            done => done.map(|()| true).unwrap_or_else(|e| panic!("{e}")),
        });
    }

    pub fn stop(&mut self) {
        // Connections first: an open one is waited for.
        *self.clients.lock().unwrap() = None;
        self.app.lock().unwrap().take().unwrap().stop().unwrap();
    }

    /// Stops it while connections are open, as a signal does.
    pub fn stop_at_once(&self) {
        *self.clients.lock().unwrap() = None;
        let app = self.app.lock().unwrap().take();
        app.unwrap().stop().unwrap();
    }

    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    pub fn traffic(&self) -> SocketAddr {
        self.addresses.unwrap().0
    }

    pub fn admin(&self) -> SocketAddr {
        self.addresses.unwrap().1
    }

    /// A new connection to the traffic listener.
    pub fn connect(&self) -> Client {
        Client::connect(self.traffic())
    }

    fn with_clients<T>(&self, run: impl FnOnce(&mut (Client, Client)) -> T) -> T {
        let mut clients = self.clients.lock().unwrap_or_else(|e| e.into_inner());
        run(clients.get_or_insert_with(|| (Client::connect(self.traffic()), Client::connect(self.admin()))))
    }

    /// A request to the traffic listener, on a connection that is kept.
    pub fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.with_clients(|(traffic, _)| traffic.request(method, path, &[], body))
    }

    /// A request to the admin listener.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.with_clients(|(_, admin)| admin.request(method, path, &[], body))
    }

    /// The whole response of exchange `demo`, or nothing.
    pub fn response(&self, request: &Value) -> Option<Value> {
        self.response_of("demo", request)
    }

    pub fn response_of(&self, exchange: &str, request: &Value) -> Option<Value> {
        let answer = self.call("POST", &format!("/openrtb2/{exchange}"), request.to_string().as_bytes());
        match answer.status {
            200 => Some(answer.json()),
            _ => {
                answer.is_empty(204);
                None
            }
        }
    }

    /// The only bid of the response.
    pub fn bid(&self, request: &Value) -> Option<Value> {
        self.bid_of("demo", request)
    }

    pub fn bid_of(&self, exchange: &str, request: &Value) -> Option<Value> {
        let mut response = self.response_of(exchange, request)?;
        let bids = response["seatbid"][0]["bid"].as_array().unwrap();
        assert_eq!((response["seatbid"].as_array().unwrap().len(), bids.len()), (1, 1), "{response}");
        Some(response["seatbid"][0]["bid"][0].take())
    }

    /// As [`Server::bid`], after waiting for the next lease if need be: a campaign that has little left bids for all of
    /// a lease faster than the next one is durable.
    pub fn bid_soon(&self, request: &Value) -> Value {
        let mut bid = None;
        wait_until("a bid", || {
            bid = self.bid(request);
            bid.is_some()
        });
        bid.unwrap()
    }

    /// Calls a notice URL of ours.
    pub fn notice(&self, url: &str) -> Answer {
        let path = url.strip_prefix("https://localhost").unwrap_or_else(|| panic!("{url} is not ours"));
        self.call("GET", path, b"")
    }

    /// Calls `nurl`, `burl` or `lurl` of a bid with what an exchange puts in for the price, in the bid's currency.
    #[track_caller]
    pub fn tell(&self, bid: &Value, which: &str, price: &str) {
        let values = [("AUCTION_PRICE", price), ("AUCTION_CURRENCY", ""), ("AUCTION_LOSS", "102")];
        self.notice(&substitute(bid[which].as_str().unwrap(), &values)).is_empty(204);
    }

    pub fn win(&self, bid: &Value, price: &str) {
        self.tell(bid, "nurl", price);
    }

    pub fn bill(&self, bid: &Value, price: &str) {
        self.tell(bid, "burl", price);
    }

    pub fn lose(&self, bid: &Value) {
        self.tell(bid, "lurl", "");
    }

    #[track_caller]
    pub fn put(&self, campaign: &Value) -> Answer {
        let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        let answer = self.ask("PUT", &path, campaign.to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer
    }

    pub fn delete(&self, id: &str) {
        self.ask("DELETE", &format!("/v1/campaigns/{id}"), b"").is_empty(204);
    }

    pub fn account(&self, id: &str) -> Account {
        let answer = self.ask("GET", &format!("/v1/campaigns/{id}/account"), b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        account(&answer.json())
    }

    /// The account once so many bids are in it: they are written to the log, but not waited for.
    pub fn settled(&self, id: &str, bids: u64) -> Account {
        wait_until("all bids are in the log", || self.account(id).bids == bids);
        self.is_sound(id)
    }

    pub fn books(&self) -> Vec<Row> {
        rows(&self.ask("GET", "/v1/books", b"").json())
    }

    /// The number after a metric's name and labels, 0 when it has not been counted yet.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.ask("GET", "/metrics", b"");
        let value = text.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Asserts what holds at any quiet moment: the account adds up, and the books come to the same within a second.
    #[track_caller]
    pub fn is_sound(&self, id: &str) -> Account {
        let a = self.account(id);
        let free = a.budget - a.spent - a.reserved - a.withheld;
        assert_eq!(a.available, free.max(0), "{a:?}");
        assert_eq!(a.overspend, (a.spent - a.budget).max(0), "{a:?}");
        assert!(a.reserved >= 0 && a.withheld >= 0 && a.late <= a.spent && a.billed <= a.wins, "{a:?}");
        let told = || sum(&self.books(), id);
        wait_for(Duration::from_secs(1), &format!("books {:?} equal {a:?}", told()), || {
            told() == (a.spent, a.late, a.billed)
        });
        a
    }
}

/// Spent, late and billed of one campaign over all days.
pub fn sum(rows: &[Row], id: &str) -> (i64, i64, u64) {
    let rows = rows.iter().filter(|r| r.campaign == id);
    rows.fold((0, 0, 0), |(spent, late, billed), r| (spent + r.spent, late + r.late, billed + r.billed))
}

pub fn account(value: &Value) -> Account {
    let money = |key: &str| nanos(value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")));
    let count = |key: &str| value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"));
    Account {
        currency: value["currency"].as_str().unwrap().to_owned(),
        budget: money("budget"),
        available: money("available"),
        reserved: money("reserved"),
        withheld: money("withheld"),
        spent: money("spent"),
        late: money("late"),
        overspend: money("overspend"),
        bids: count("bids"),
        wins: count("wins"),
        billed: count("billed"),
    }
}

pub fn rows(value: &Value) -> Vec<Row> {
    let row = |row: &Value| Row {
        campaign: row["campaign"].as_str().unwrap().to_owned(),
        day: row["day"].as_str().unwrap().to_owned(),
        spent: nanos(row["spent"].as_str().unwrap()),
        late: nanos(row["late"].as_str().unwrap()),
        billed: row["billed"].as_u64().unwrap(),
    };
    value.as_array().unwrap().iter().map(row).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.clients.lock().unwrap_or_else(|e| e.into_inner()) = None;
        if let Some(app) = self.app.lock().unwrap_or_else(|e| e.into_inner()).take() {
            let stopped = app.stop();
            if !std::thread::panicking() {
                stopped.unwrap();
            }
        }
    }
}
