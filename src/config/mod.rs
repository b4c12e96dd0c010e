//! Configuration: what the user typed ([`RawConfig`]) and what was checked ([`Config`]), converted once.
//!
//! Order: defaults, then `gavel.toml`, then environment, then flags. Unknown keys are refused. Every fault is
//! listed, with its line. Nothing needs to be set.

mod exchange;
mod fraud;
mod kafka;
mod privacy;
mod section;
mod supply;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use exchange::{Exchange, Rates};
pub use fraud::{ApiKey, Fraud};
pub use kafka::{Kafka, KafkaTls, Sasl};
pub use section::Fault;
use section::{Section, Source};
pub use supply::Supply;
pub use traffic::Traffic;

use crate::event::Promise;
use crate::ids::NodeId;
use crate::ledger::bucket::Grids;
use crate::openrtb::consent::Vendor;

/// What the user typed.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    /// Name and text of the config file, when there is one.
    pub file: Option<(PathBuf, String)>,
    /// `--listen` or `GAVEL_LISTEN`, and so on: they beat the file.
    pub listen: Option<String>,
    pub admin_listen: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub admin_token: Option<String>,
}

/// A checked configuration. Units stand last in the names.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from, if from a file.
    pub file: Option<PathBuf>,
    /// Address of the traffic listener. Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the admin listener. Default `127.0.0.1:9090`.
    pub admin_listen: SocketAddr,
    /// What admin requests must bring as `Authorization: Bearer`. Required unless the admin listener is on loopback:
    /// it can change budgets.
    pub admin_token: Option<String>,
    /// Where the log, the books and the keys live. Default `data`.
    pub data_dir: PathBuf,
    /// Where model artifacts lie, as `<name>/<version>/`. Default `models` in the data directory.
    pub models: PathBuf,
    /// Campaign files; none serves the built-in demo.
    pub catalog: Option<Vec<PathBuf>>,
    /// Absolute https base of notice URLs. Default `https://localhost`.
    pub public_url: String,
    /// Number of this node, 1 to 65535; part of every reservation's id. Default 1.
    pub node: NodeId,
    pub exchanges: Vec<Exchange>,
    pub rates: Rates,
    /// With it the traffic listener speaks TLS only. Default none.
    pub tls: Option<Tls>,
    pub supply: Option<Supply>,
    /// `[traffic]`. Default: none, and in the demo a few entries of each list.
    pub traffic: Option<Traffic>,
    pub limits: Limits,
    pub ledger: Ledger,
    pub log: Log,
    pub caps: Caps,
    /// `[privacy]`: our entry in IAB Europe's Global Vendor List. Without it no request under GDPR is personal.
    pub vendor: Option<Vendor>,
    pub fraud: Fraud,
}

/// `[tls]`
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file of the certificate and those between it and its root, the server's own first.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

/// `[limits]`: what a client may ask for, and an operator.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Serving threads, each with its own listener. Default: one per core.
    pub workers: usize,
    /// Each serving thread stays on a core of its own, of those that the process may run on. Default false. For machines
    /// where nothing else wants these cores: elsewhere a thread waits for its core while another one is free.
    pub pin_workers: bool,
    /// Largest request body in bytes; larger is 413. Default 1 MiB. Keeps one client from taking the memory.
    pub max_body_bytes: usize,
    /// Largest request head in bytes; larger is 431. Default 16 KiB.
    pub max_header_bytes: usize,
    /// Open connections per worker; what comes on a quarter more gets no bids, what is beyond that is closed at once.
    /// Keeps memory, and file descriptors for the log. Default 10000, or as many as the process may have files open for.
    pub max_connections: Option<usize>,
    /// How long a request's body may take to come. Default 10 s. Ends slow clients.
    pub body_timeout_ms: i64,
    /// How long a connection may wait for the next request's head. Default 180 s: exchanges keep theirs at least 150.
    pub idle_timeout_ms: i64,
    /// How long shutdown waits for open requests. Default 5 s.
    pub shutdown_grace_ms: i64,
    /// Edited campaigns above which the catalog is built anew in the background. Default 256: each request looks at
    /// them besides, each edit indexes them again.
    pub recent_campaigns: usize,
}

/// `[ledger]`
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Added to the lifetimes before the leases of an earlier start come back. Default 30 s. Covers notices that
    /// were sent in time and arrived late.
    pub lease_grace_ms: i64,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// Size of a segment file in bytes. Default 64 MiB.
    pub segment_bytes: u64,
    /// Largest size of all segments together in bytes; 0 is what the disk holds. Default 0. When it is reached bids stop,
    /// as on a full disk.
    pub max_bytes: u64,
    /// Segments whose events are all older than so many days go, once they are exported. Default none: all are kept.
    pub keep_days: Option<u32>,
    /// Events waiting to be written, in bytes per worker; more than that and bids stop. Default 4 MiB.
    pub lane_bytes: usize,
    /// With `kind = "kafka"` the log is there; with `kind = "files"`, the default, in segment files.
    pub kafka: Option<Kafka>,
    /// Other nodes append to it at the same time. One in files is one process's alone.
    pub shared: bool,
    /// Share of bid requests that are kept whole for replays, from 0 to 1. Default 0.01.
    pub record_requests: f64,
}

/// `[frequency]`
#[derive(Clone, Debug)]
pub struct Caps {
    /// Memory for frequency caps in bytes, taken at start. Default 64 MiB: two million users of small caps.
    pub max_bytes: usize,
    /// Whether a capped campaign bids for a user who cannot be told: unknown, or maybe evicted. Default false.
    pub bid_for_unknown: bool,
}

const DAY_S: i64 = 86_400;

impl RawConfig {
    /// Reads `path`, or `gavel.toml` in the working directory if it is there.
    pub fn read(path: Option<&Path>) -> Result<RawConfig, Fault> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new("gavel.toml"), false),
        };
        let file = match std::fs::read_to_string(path) {
            Ok(text) => Some((path.to_owned(), text)),
            Err(e) if !required && e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                let message = format!("cannot be read: {e}");
                return Err(Fault { file: path.display().to_string(), line: None, key: String::new(), message });
            }
        };
        Ok(RawConfig { file, ..RawConfig::default() })
    }

    /// Checks everything and lists every fault.
    pub fn check(&self) -> Result<Config, Vec<Fault>> {
        let (config, faults) = self.check_all();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// As [`RawConfig::check`]; with faults the config has defaults in their place and is only good for finding more.
    pub fn check_all(&self) -> (Config, Vec<Fault>) {
        let (name, text) = match &self.file {
            Some((path, text)) => (path.display().to_string(), text.as_str()),
            None => ("defaults".to_owned(), ""),
        };
        let mut source = Source { file: &name, text, faults: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().and_then(|s| source.line(&s));
            source.fault("", line, error.message());
        }
        let base = self.file.as_ref().and_then(|(path, _)| path.parent()).unwrap_or(Path::new(""));
        let config = self.build(Section::new(Some(document.get_ref()), "", &mut source), base);
        (config, source.faults)
    }

    fn build(&self, mut root: Section, base: &Path) -> Config {
        let listen = root.text("listen", address);
        let admin_listen = root.text("admin_listen", address);
        let admin_token = root.text("admin_token", |t| token(t).map(str::to_owned));
        let data_dir = root.text("data_dir", |t| Ok(base.join(t)));
        let models = root.text("models", |t| Ok(base.join(t)));
        let catalog = root.texts("catalog").map(|patterns| expand(&patterns, base, "catalog", &mut root));
        let public_url = root.text("public_url", public_url).unwrap_or_else(|| "https://localhost".to_owned());
        let node = NodeId(root.number("node", 1..=65_535).unwrap_or(1) as u16);
        let rates = Rates::read(root.table("rates"));
        let exchanges = exchange::read(root.table("exchanges"), &rates);
        let tls = tls(root.table("tls"), base);
        let supply = supply::read(root.table("supply"), base);
        let traffic = traffic::read(root.table("traffic"), base);

        let mut s = root.table("limits");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits {
            workers: s.number("workers", 1..=1_024).map_or(cores, |n| n as usize),
            pin_workers: pin_workers(&mut s),
            max_body_bytes: s.number("max_body_bytes", 1_024..=64 << 20).unwrap_or(1 << 20) as usize,
            max_header_bytes: s.number("max_header_bytes", 8_192..=1 << 20).unwrap_or(16 << 10) as usize,
            max_connections: s.number("max_connections", 1..=1_000_000).map(|n| n as usize),
            body_timeout_ms: s.seconds("body_timeout_s", 3_600).unwrap_or(10_000),
            idle_timeout_ms: s.seconds("idle_timeout_s", 86_400).unwrap_or(180_000),
            shutdown_grace_ms: s.seconds("shutdown_grace_s", 3_600).unwrap_or(5_000),
            recent_campaigns: s.number("recent_campaigns", 0..=512).unwrap_or(256) as usize,
        };
        s.end();
        let mut s = root.table("ledger");
        let ledger = Ledger { lease_grace_ms: s.seconds("lease_grace_s", DAY_S).unwrap_or(30_000) };
        s.end();
        let mut s = root.table("log");
        let kind = s.text("kind", log_kind);
        let kafka = kafka::read(kind.as_deref(), s.table("kafka"), base);
        let log = Log {
            shared: kafka.is_some(),
            keep_days: keep_days(&mut s, kafka.is_some()),
            kafka,
            segment_bytes: s.number("segment_bytes", 1 << 20..=1 << 30).unwrap_or(64 << 20) as u64,
            max_bytes: s.number("max_bytes", 0..=i64::MAX).unwrap_or(0) as u64,
            record_requests: s.share("record_requests").unwrap_or(0.01),
            lane_bytes: s.number("lane_bytes", 64 << 10..=1 << 30).unwrap_or(4 << 20) as usize,
        };
        s.end();
        let mut s = root.table("frequency");
        let caps = Caps {
            max_bytes: s.number("max_bytes", 1 << 20..=1 << 40).unwrap_or(64 << 20) as usize,
            bid_for_unknown: s.boolean("bid_for_unknown").unwrap_or(false),
        };
        s.end();
        let vendor = privacy::vendor(root.table("privacy"));
        let listen = self.over("GAVEL_LISTEN or --listen", &self.listen, listen, &mut root);
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
        let fraud = fraud::read(root.table("fraud"), base, listen);

        let admin_listen =
            self.over("GAVEL_ADMIN_LISTEN or --admin-listen", &self.admin_listen, admin_listen, &mut root);
        let admin_listen = admin_listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090)));
        let admin_token = match self.admin_token.as_deref().map(token) {
            None => admin_token,
            Some(Ok(token)) => Some(token.to_owned()),
            Some(Err(message)) => {
                root.fault("GAVEL_ADMIN_TOKEN", message);
                None
            }
        };
        if !admin_listen.ip().is_loopback() && admin_token.is_none() {
            root.fault(
                "admin_token",
                format!("is required because the admin listener is on {admin_listen}, not on loopback; set it here or in GAVEL_ADMIN_TOKEN"),
            );
        }
        root.end();
        let data_dir = self.data_dir.clone().or(data_dir).unwrap_or_else(|| PathBuf::from("data"));
        Config {
            file: self.file.as_ref().map(|(path, _)| path.clone()),
            models: models.unwrap_or_else(|| data_dir.join("models")),
            listen,
            admin_listen,
            admin_token,
            data_dir,
            catalog,
            public_url,
            node,
            exchanges,
            rates,
            tls,
            supply,
            traffic,
            limits,
            ledger,
            log,
            caps,
            vendor,
            fraud,
        }
    }

    /// The address from environment or flags, if given; else the file's.
    fn over(
        &self,
        name: &str,
        given: &Option<String>,
        file: Option<SocketAddr>,
        root: &mut Section,
    ) -> Option<SocketAddr> {
        match given.as_deref().map(address) {
            None => file,
            Some(Ok(address)) => Some(address),
            Some(Err(message)) => {
                root.fault(name, message);
                None
            }
        }
    }
}

impl Config {
    /// The configuration with nothing set.
    pub fn default_for_demo() -> Result<Config, Vec<Fault>> {
        RawConfig::default().check()
    }

    /// How long something may come of bids that are made with this configuration.
    pub fn promise(&self) -> Promise {
        let lifetimes = || self.exchanges.iter().map(|e| e.lifetimes);
        let longest_ms = lifetimes().map(|l| l.auction_ms + l.bill_ms).max().unwrap_or(0);
        let widest_ms = Grids::new(&lifetimes().collect::<Vec<_>>()).widest_ms();
        Promise { billable_ms: longest_ms + widest_ms + self.ledger.lease_grace_ms }
    }

    /// Where `gavel export` puts the log unless it is told otherwise.
    pub fn archive(&self) -> PathBuf {
        self.data_dir.join("archive")
    }

    /// The longest life of a notice token.
    pub fn token_lifetime_ms(&self) -> i64 {
        self.exchanges.iter().map(|e| e.token_lifetime_ms).max().unwrap_or(0)
    }
}

/// At least two: for a day the answers that keys of fraud checks lead to are read back from the log.
fn keep_days(s: &mut Section, on_kafka: bool) -> Option<u32> {
    let days = s.number("keep_days", 2..=36_500)? as u32;
    if on_kafka {
        s.fault("keep_days", "is for a log in files: a topic keeps everything");
    }
    Some(days)
}

fn pin_workers(s: &mut Section) -> bool {
    let wanted = s.boolean("pin_workers").unwrap_or(false);
    if wanted && cfg!(not(target_os = "linux")) {
        s.fault("pin_workers", "is for Linux");
    }
    wanted
}

fn tls(mut s: Section, base: &Path) -> Option<Tls> {
    let given = s.is_given();
    let files = [s.text("cert", |t| Ok(base.join(t))), s.text("key", |t| Ok(base.join(t)))];
    let missing: Vec<&str> = ["cert", "key"].into_iter().filter(|key| given && !s.has(key)).collect();
    missing.iter().for_each(|key| s.fault(key, "is required: the name of a PEM file"));
    s.end();
    let [Some(cert), Some(key)] = files else { return None };
    Some(Tls { cert, key })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address such as \"127.0.0.1:8080\""))
}

fn log_kind(text: &str) -> Result<String, String> {
    match text {
        "kafka" if !cfg!(feature = "kafka") => {
            let with = "cargo build --release --features kafka";
            Err(format!("\"kafka\" needs a gavel that was built with the feature kafka: {with}"))
        }
        "files" | "kafka" => Ok(text.to_owned()),
        _ => Err("must be \"files\" or \"kafka\"".to_owned()),
    }
}

fn token(text: &str) -> Result<&str, String> {
    let fine = (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fine { Ok(text) } else { Err("must be 16 to 256 visible ASCII characters".to_owned()) }
}

fn public_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").unwrap_or("").trim_end_matches('/');
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}?#".contains(&b)) {
        return Err("must be an absolute https URL such as \"https://bids.example.com\"".to_owned());
    }
    Ok(format!("https://{host}"))
}

/// Files that the patterns name, in order, each once. A pattern that names none is a fault: it is a typing error.
fn expand(patterns: &[String], base: &Path, key: &str, section: &mut Section) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for pattern in patterns {
        let full = base.join(pattern);
        let before = files.len();
        match glob::glob(&full.to_string_lossy()) {
            Ok(paths) => files.extend(paths.filter_map(Result::ok).filter(|p| p.is_file())),
            Err(e) => section.fault(key, format!("{pattern:?} is not a pattern: {e}")),
        }
        if files.len() == before {
            section.fault(key, format!("{pattern:?} names no file"));
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|f| seen.insert(f.clone()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrtb::consent::{Bases, Basis};

    fn faults(text: &str) -> Vec<String> {
        let raw = RawConfig { file: Some(("gavel.toml".into(), text.into())), ..RawConfig::default() };
        raw.check().err().unwrap_or_default().iter().map(Fault::to_string).collect()
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = Config::default_for_demo().unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.exchanges[0].name, "demo");
        assert_eq!(config.exchanges[0].tmax_default_ms, 100);
    }

    #[test]
    fn every_fault_is_listed_with_its_line() {
        let text = "listen = 8080\nlissten = \"x\"\n[exchanges.a]\nspend_on = \"click\"\nbill_lifetime_s = 0\n\
                    currency = \"XYZ\"\n[rates]\nEUR = 1.085\n[limits]\nmax_body_bytes = 3\n";
        assert_eq!(
            faults(text),
            [
                "gavel.toml:1: listen: must be a text in quotes",
                "gavel.toml:8: rates.EUR: must be a text in quotes",
                "gavel.toml:4: exchanges.a.spend_on: must be \"bill\" or \"win\"",
                "gavel.toml:5: exchanges.a.bill_lifetime_s: must be seconds, above 0 and at most 172800",
                "gavel.toml:6: exchanges.a.currency: XYZ has no rate; add it to [rates]",
                "gavel.toml:10: limits.max_body_bytes: must be a whole number from 1024 to 67108864",
                "gavel.toml:2: lissten: is not a key here; known: listen, admin_listen, admin_token, data_dir, models, catalog, \
                 public_url, node, rates, exchanges, tls, supply, traffic, limits, ledger, log, frequency, privacy, fraud",
            ]
        );
    }

    #[test]
    fn faults_of_fraud_windows_and_keys_are_listed() {
        let text = "[fraud]\nmax_age_days = 99\non_timeout = \"challenge\"\nrules = \"none.toml\"\n\
                    [[fraud.windows]]\nname = \"a-b\"\naggregate = \"most\"\nlength = \"91d\"\n\
                    [[fraud.windows]]\nname = \"n\"\nkey = [\"customer\"]\naggregate = \"sum\"\nlength = \"1h\"\nx = 1\n\
                    [[fraud.keys]]\nid = \"k\"\nsha256 = \"00\"\n";
        let expected = [
            "gavel.toml:6: fraud.windows[0].name: must be letters, digits and _",
            "gavel.toml:7: fraud.windows[0].aggregate: must be count, sum, avg, min, max, last, distinct, time_since or share",
            "gavel.toml:8: fraud.windows[0].length: must be a number and s, m, h or d, such as \"7d\"; at most 90 days",
            "gavel.toml: fraud.windows[0].key: is required",
            "gavel.toml:14: fraud.windows[1].x: is not a key here; known: name, key, aggregate, value, length, delay, where",
            "gavel.toml:17: fraud.keys[0].sha256: must be 64 hexadecimal digits: the SHA-256 of the key",
            "gavel.toml: fraud.keys[0].merchant_id: is required",
            "gavel.toml:2: fraud.max_age_days: must be a whole number from 0 to 90",
            "gavel.toml:3: fraud.on_timeout: must be \"allow\", \"review\" or \"deny\"",
            "gavel.toml:5: fraud.windows: [0].key: \"customer\" is not a field of a check",
        ];
        let mut faults = faults(text);
        let unread = faults.iter().position(|fault| fault.contains("none.toml cannot be read")).unwrap();
        faults.remove(unread);
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_vendor_is_an_entry_of_the_list() {
        let vendor = |text: &str| {
            let text = format!("[privacy]\n{text}");
            let raw = RawConfig { file: Some(("gavel.toml".into(), text)), ..RawConfig::default() };
            raw.check().map(|config| config.vendor).map_err(|faults| faults[0].to_string())
        };
        let with = |default, flexible| Ok(Some(Vendor { id: 755, purpose_2: Bases { default, flexible } }));
        assert_eq!(vendor(""), Ok(None));
        assert_eq!(vendor("vendor_id = 755"), with(Basis::Consent, false));
        assert_eq!(vendor("vendor_id = 755\npurpose_2 = [\"consent\"]"), with(Basis::Consent, false));
        let interest = "purpose_2 = [\"legitimate_interest\"]";
        assert_eq!(vendor(&format!("vendor_id = 755\n{interest}")), with(Basis::LegitimateInterest, false));
        let both = "purpose_2 = [\"legitimate_interest\", \"consent\"]";
        assert_eq!(vendor(&format!("vendor_id = 755\n{both}")), with(Basis::LegitimateInterest, true));
        let needs = "gavel.toml:2: privacy.purpose_2: needs vendor_id".to_owned();
        assert_eq!(vendor(interest), Err(needs));
        let number = "gavel.toml:2: privacy.vendor_id: must be a whole number from 1 to 65535".to_owned();
        assert_eq!(vendor("vendor_id = 0"), Err(number));
        for bases in ["[]", "[\"consent\", \"consent\"]", "[\"contract\"]", "[\"consent\", \"contract\"]"] {
            let fault = vendor(&format!("vendor_id = 755\npurpose_2 = {bases}")).unwrap_err();
            assert!(fault.starts_with("gavel.toml:3: privacy.purpose_2: must be"), "{fault}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        assert!(faults("a = 1\nb = = 2\n").iter().any(|f| f.starts_with("gavel.toml:2")));
    }

    #[test]
    fn tls_names_two_files() {
        let config =
            |text: &str| RawConfig { file: Some(("dir/gavel.toml".into(), text.into())), ..RawConfig::default() };
        let tls = config("[tls]\ncert = \"a.pem\"\nkey = \"/b.pem\"\n").check().unwrap().tls.unwrap();
        assert_eq!((tls.cert.to_str(), tls.key.to_str()), (Some("dir/a.pem"), Some("/b.pem")));
        assert!(Config::default_for_demo().unwrap().tls.is_none());
        assert_eq!(
            faults("[tls]\ncert = 7\n"),
            [
                "gavel.toml:2: tls.cert: must be a text in quotes",
                "gavel.toml: tls.key: is required: the name of a PEM file"
            ]
        );
        assert_eq!(faults("[tls]\n").len(), 2);
    }

    #[test]
    fn flags_beat_the_file_and_are_checked() {
        let file = Some(("gavel.toml".into(), "listen = \"127.0.0.1:1\"".into()));
        let raw = RawConfig { file, listen: Some("127.0.0.1:2".into()), ..RawConfig::default() };
        assert_eq!(raw.check().unwrap().listen.port(), 2);
        let raw = RawConfig { listen: Some("nonsense".into()), ..RawConfig::default() };
        assert!(raw.check().is_err());
    }

    #[test]
    fn no_configuration_promises_more_than_is_thought_of_a_start_that_does_not_tell() {
        let longest = "[exchanges.a]\nauction_lifetime_s = 86400\nbill_lifetime_s = 172800\n[exchanges.b]\n\
                       auction_lifetime_s = 1\nbill_lifetime_s = 1\n[ledger]\nlease_grace_s = 86400\n";
        assert_eq!(faults(longest), [""; 0]);
        let raw = RawConfig { file: Some(("gavel.toml".into(), longest.into())), ..RawConfig::default() };
        let promised_ms = raw.check().unwrap().promise().billable_ms;
        assert!((4 * DAY_S * 1_000..=Promise::UNKNOWN.billable_ms).contains(&promised_ms), "{promised_ms}");
        for more in ["auction_lifetime_s = 86401", "bill_lifetime_s = 172801"] {
            assert_eq!(faults(&format!("[exchanges.a]\n{more}\n")).len(), 1);
        }
        assert_eq!(faults("[ledger]\nlease_grace_s = 86401\n").len(), 1);
    }

    #[test]
    fn fraud_keys_are_off_on_loopback_only() {
        let off = "[fraud]\nrequire_keys = false";
        let open = faults(&format!("listen = \"0.0.0.0:8080\"\n{off}"));
        assert!(open.len() == 1 && open[0].starts_with("gavel.toml:3: fraud.require_keys: "), "{open:?}");
        assert!(faults(off).is_empty() && faults(&format!("listen = \"[::1]:8080\"\n{off}")).is_empty());
        assert!(faults("listen = \"0.0.0.0:8080\"\n[fraud]\nrequire_keys = true").is_empty());
        // What a flag says counts.
        let raw = RawConfig {
            file: Some(("gavel.toml".into(), off.into())),
            listen: Some("0.0.0.0:8080".into()),
            ..RawConfig::default()
        };
        assert!(raw.check().unwrap_err()[0].to_string().contains("fraud.require_keys"));
    }

    #[test]
    fn an_open_admin_listener_needs_a_token() {
        assert!(faults("admin_listen = \"0.0.0.0:9090\"")[0].contains("admin_token"));
        assert!(faults("admin_listen = \"0.0.0.0:9090\"\nadmin_token = \"0123456789abcdef\"").is_empty());
        // One that everybody has is none.
        let file = Some(("gavel.toml".into(), "admin_listen = \"0.0.0.0:9090\"".into()));
        let raw = RawConfig { file, admin_token: Some(String::new()), ..RawConfig::default() };
        assert!(raw.check().unwrap_err()[0].to_string().contains("GAVEL_ADMIN_TOKEN"));
    }
}
