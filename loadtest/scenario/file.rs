//! A scenario as it stands in its file, checked: what is played, against what server, and what goes on meanwhile.

use crate::args::{Cli, Command, RunArgs, parse_duration};
use crate::plan::{Plan, nanos};
use crate::steps::Step;
use clap::{CommandFactory, Parser};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

const CAMPAIGNS_LIMIT: u32 = 200_000;
const SLOW_LIMIT: u32 = 10_000;
const STEPS_LIMIT: usize = 1000;
const TIMES_LIMIT: f64 = 100.0;
const SHORTEST: Duration = Duration::from_millis(1);
/// What the command line says, or the scenario's own files have.
const NOT_HERE: [&str; 8] = ["target", "admin", "admin-token", "allow-remote", "journal", "json", "hgrm", "help"];

#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    /// The file, word for word.
    pub text: String,
    pub about: String,
    pub run: RunArgs,
    pub load: Vec<Step>,
    pub server: ServerSpec,
    pub meanwhile: Meanwhile,
    pub bounds: Option<Bounds>,
    /// Where the file lies: paths in it begin there.
    pub dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    about: String,
    #[serde(default)]
    run: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    server: ServerSpec,
    #[serde(default)]
    meanwhile: Meanwhile,
    bounds: Option<Bounds>,
    #[serde(default)]
    load: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(rename = "for", deserialize_with = "duration")]
    for_: Duration,
    times: f64,
}

/// The server that is started for it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSpec {
    /// Generated ones; with none of any kind the server has what it comes with.
    pub campaigns: u32,
    /// Of the generated ones.
    pub seed: u64,
    /// Campaigns without any targeting at the highest price: every request is theirs.
    pub hot: u32,
    /// Campaigns paid by click, priced by the model `ctr`.
    pub clicks: u32,
    /// Lines for gavel.toml.
    pub config: String,
    pub models: Vec<ModelSpec>,
}

impl Default for ServerSpec {
    fn default() -> ServerSpec {
        ServerSpec { campaigns: 10_000, seed: 1, hot: 0, clicks: 0, config: String::new(), models: Vec::new() }
    }
}

/// An artifact's folder, copied under several versions.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    pub name: String,
    pub from: PathBuf,
    pub versions: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Meanwhile {
    pub activate: Option<Activate>,
    pub put: Option<Put>,
    pub slow: Option<Slow>,
}

/// Versions of a model, put in force in turn.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Activate {
    pub model: String,
    pub versions: Vec<String>,
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
}

/// Campaigns, edited or new.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Put {
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// The share of them that is new.
    #[serde(default)]
    pub new: f64,
}

/// Clients that are in no hurry.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Connections that send a byte of a request every so often.
    #[serde(default)]
    pub senders: u32,
    /// Connections that send a few requests every so often and read no answer.
    #[serde(default)]
    pub readers: u32,
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
}

/// What the server may use more of as time goes by: the run fails where it does.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// From then on; a shorter run has no such bounds.
    #[serde(deserialize_with = "duration")]
    pub after: Duration,
    /// The share by which resident memory may grow.
    pub memory: f64,
    /// How many more files may be open.
    pub files: u64,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

impl Scenario {
    pub fn read(path: &Path) -> Result<Scenario, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
        Scenario::parse(name, dir, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub fn parse(name: String, dir: PathBuf, text: String) -> Result<Scenario, String> {
        let raw: Raw = toml::from_str(&text).map_err(|error| error.to_string())?;
        let mut run = run_args(&raw.run, &text)?;
        let load = raw.load.iter().map(|step| Step { for_ns: nanos(step.for_), times: step.times }).collect::<Vec<_>>();
        check_load(&raw.load)?;
        if !load.is_empty() && run.duration.is_none() && run.requests.is_none() && run.bids.is_none() {
            run.duration = Some(raw.load.iter().map(|step| step.for_).sum());
        }
        check_server(&raw.server)?;
        check_meanwhile(&raw.meanwhile)?;
        let scenario = Scenario {
            name,
            text,
            about: raw.about,
            run,
            load,
            server: raw.server,
            meanwhile: raw.meanwhile,
            bounds: raw.bounds,
            dir,
        };
        scenario.plan()?;
        Ok(scenario)
    }

    /// What it asks, or the first line.
    pub fn question(&self) -> &str {
        let line = self.about.trim().lines().next().unwrap_or("");
        line.find('?').map_or(line, |end| &line[..=end])
    }

    pub fn plan(&self) -> Result<Plan, String> {
        Ok(Plan::check(&self.run)?.stepped(&self.load))
    }

    /// The same in so many seconds: steps keep their share of it, and no bound is left that takes longer at the plain rate.
    pub fn shorten(&mut self, seconds: u32) {
        let wanted = Duration::from_secs(seconds.into());
        let whole = self.run.duration.unwrap_or(wanted).max(SHORTEST);
        let scale = wanted.as_secs_f64() / whole.as_secs_f64();
        self.load.iter_mut().for_each(|step| step.for_ns = (step.for_ns as f64 * scale) as u64);
        self.run.warmup = self.run.warmup.min(wanted / 4);
        let requests = (self.run.rate * f64::from(seconds)) as u64;
        self.run.requests = self.run.requests.map(|limit| limit.min(requests));
        self.run.bids = self.run.bids.map(|limit| limit.min(requests / 2).max(1));
        self.run.duration = Some(wanted);
    }
}

/// The line of a place in a text, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The keys of `[run]` are the flags of `loadtest run`, and are read by the same code.
fn run_args(keys: &BTreeMap<String, Spanned<toml::Value>>, text: &str) -> Result<RunArgs, String> {
    let command = Cli::command();
    let known = command.find_subcommand("run").ok_or("there is no command run")?;
    let parse = |flags: &[String]| {
        let fixed = ["loadtest".to_owned(), "run".to_owned()];
        match Cli::try_parse_from(fixed.iter().chain(flags)).map(|cli| cli.command) {
            Ok(Some(Command::Run(run))) => Ok(*run),
            Ok(_) => Err("not the flags of a run".to_owned()),
            Err(error) => {
                let whole = error.to_string();
                let first = whole.lines().next().unwrap_or("refused");
                Err(first.trim_start_matches("error: ").to_owned())
            }
        }
    };
    let mut flags = Vec::new();
    for (key, value) in keys {
        let line = line(text, value.span().start);
        if NOT_HERE.contains(&key.as_str()) {
            return Err(format!("line {line}: `{key}` is not for a scenario: the command line says it"));
        }
        if !known.get_arguments().any(|argument| argument.get_long() == Some(key)) {
            return Err(format!("line {line}: `{key}` is no flag of `loadtest run`"));
        }
        let Some(flag) = flag(key, value.get_ref()) else {
            return Err(format!("line {line}: `{key}` is a number, a text, a list of them, or true"));
        };
        parse(&flag).map_err(|error| format!("line {line}: {error}"))?;
        flags.extend(flag);
    }
    let run = parse(&flags)?;
    Plan::check(&run).map_err(|error| {
        let named = keys.iter().find(|(key, _)| error.contains(&format!("--{key} ")));
        named.map_or(error.clone(), |(_, value)| format!("line {}: {error}", line(text, value.span().start)))
    })?;
    Ok(run)
}

/// As it would be typed; none for `false`.
fn flag(key: &str, value: &toml::Value) -> Option<Vec<String>> {
    let plain = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    };
    Some(match value {
        toml::Value::Boolean(true) => vec![format!("--{key}")],
        toml::Value::Boolean(false) => Vec::new(),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(plain).collect();
            vec![format!("--{key}={}", items?.join(","))]
        }
        other => vec![format!("--{key}={}", plain(other)?)],
    })
}

fn check_load(steps: &[RawStep]) -> Result<(), String> {
    if steps.len() > STEPS_LIMIT {
        return Err(format!("[[load]]: more than {STEPS_LIMIT} steps"));
    }
    for step in steps {
        if !(0.0..=TIMES_LIMIT).contains(&step.times) {
            return Err(format!("[[load]]: times = {} is not between 0 and {TIMES_LIMIT}", step.times));
        }
        if !(SHORTEST..=Duration::from_secs(24 * 3600)).contains(&step.for_) {
            return Err("[[load]]: `for` is between 1ms and a day".to_owned());
        }
    }
    Ok(())
}

fn check_server(server: &ServerSpec) -> Result<(), String> {
    for (name, count) in [("campaigns", server.campaigns), ("hot", server.hot), ("clicks", server.clicks)] {
        if count > CAMPAIGNS_LIMIT {
            return Err(format!("[server]: {name} = {count} is above {CAMPAIGNS_LIMIT}"));
        }
    }
    let plain = |text: &String| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !text.is_empty() && text.len() <= 64 && !text.starts_with('.') && text.chars().all(is_name)
    };
    let names = server.models.iter().flat_map(|model| model.versions.iter().chain([&model.name]));
    match names.into_iter().find(|name| !plain(name)) {
        Some(name) => Err(format!("[server]: {name:?} is not the name of a model or version")),
        None => Ok(()),
    }
}

fn check_meanwhile(meanwhile: &Meanwhile) -> Result<(), String> {
    let Meanwhile { activate, put, slow } = meanwhile;
    let times = [
        activate.as_ref().map(|activate| activate.every),
        put.as_ref().map(|put| put.every),
        slow.as_ref().map(|slow| slow.every),
    ];
    if times.into_iter().flatten().any(|every| every < SHORTEST) {
        return Err("[meanwhile]: `every` is at least 1ms".to_owned());
    }
    if activate.as_ref().is_some_and(|activate| activate.versions.is_empty()) {
        return Err("[meanwhile]: activate needs versions".to_owned());
    }
    if put.as_ref().is_some_and(|put| !(0.0..=1.0).contains(&put.new)) {
        return Err("[meanwhile]: new is a share from 0 to 1".to_owned());
    }
    match slow {
        Some(slow) if slow.senders > SLOW_LIMIT || slow.readers > SLOW_LIMIT => {
            Err(format!("[meanwhile]: more than {SLOW_LIMIT} slow clients"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scenario, String> {
        Scenario::parse("test".to_owned(), PathBuf::from("."), text.to_owned())
    }

    #[test]
    fn a_file_says_what_would_be_typed() {
        let text = "about = \"a\"\n[run]\nrate = 500\nwin-rate = 0.25\nwarmup = \"1s\"\nreorder = true\nignore-tmax = false\n\
                    currency = [\"USD\", \"EUR\"]\n[server]\ncampaigns = 7\nconfig = '''\n[limits]\nworkers = 1\n'''\n\
                    [[server.models]]\nname = \"ctr\"\nfrom = \"m\"\nversions = [\"1\"]\n[meanwhile]\n\
                    put = {every = \"10ms\", new = 0.5}\nslow = {senders = 3, every = \"1s\"}\n\
                    [[load]]\nfor = \"2s\"\ntimes = 1\n[[load]]\nfor = \"500ms\"\ntimes = 5.0\n";
        let scenario = parse(text).expect("parses");
        let run = &scenario.run;
        assert_eq!((run.rate, run.win_rate, run.reorder, run.ignore_tmax), (500.0, 0.25, true, false));
        assert_eq!((run.currency.len(), run.duration), (2, Some(Duration::from_millis(2500))), "as long as the steps");
        assert_eq!((scenario.server.campaigns, scenario.server.models[0].versions.len()), (7, 1));
        assert_eq!(scenario.meanwhile.put, Some(Put { every: Duration::from_millis(10), new: 0.5 }));
        assert_eq!(scenario.meanwhile.slow.as_ref().map(|slow| (slow.senders, slow.readers)), Some((3, 0)));
        assert_eq!(scenario.load[1], Step { for_ns: 500_000_000, times: 5.0 });
        assert_eq!(scenario.plan().expect("plan").steps.most(), 5.0);
    }

    #[test]
    fn every_fault_is_refused_with_its_line() {
        for (text, expected) in [
            ("[run]\n", "about"),
            ("about = \"a\"\n[run]\nrte = 5\n", "line 3: `rte` is no flag"),
            ("about = \"a\"\n[run]\n\nrate = \"fast\"\n", "line 4: invalid value 'fast'"),
            ("about = \"a\"\n[run]\nseed = 1\nrate = 0\n", "line 4: --rate 0"),
            ("about = \"a\"\n[run]\nwin-rate = 1.5\n", "line 3: --win-rate"),
            ("about = \"a\"\n[run]\ntarget = \"http://192.0.2.1\"\n", "line 3: `target` is not for a scenario"),
            ("about = \"a\"\n[run]\nrate = {a = 1}\n", "line 3: `rate` is a number"),
            ("about = \"a\"\n[server]\ncampains = 5\n", "line 3"),
            ("about = \"a\"\n[server]\ncampaigns = 900000\n", "campaigns = 900000"),
            ("about = \"a\"\n[meanwhile]\nput = {every = \"x\"}\n", "line 3"),
            ("about = \"a\"\n[meanwhile]\nput = {every = \"0s\"}\n", "at least 1ms"),
            ("about = \"a\"\n[[load]]\nfor = \"1s\"\ntimes = -1\n", "times = -1"),
            ("about = \"a\"\n[[server.models]]\nname = \"../x\"\nfrom = \"m\"\nversions = []\n", "not the name"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn any_scenario_can_be_shortened() {
        let mut scenario = parse("about = \"a\"\n[run]\nrate = 100\nbids = 5000\n").expect("parses");
        scenario.shorten(3);
        assert_eq!((scenario.run.bids, scenario.run.duration), (Some(150), Some(Duration::from_secs(3))));
        assert_eq!(scenario.run.warmup, Duration::from_millis(750));
        let text = "about = \"a\"\n[[load]]\nfor = \"20s\"\ntimes = 1\n[[load]]\nfor = \"10s\"\ntimes = 5\n";
        let mut scenario = parse(text).expect("parses");
        scenario.shorten(6);
        assert_eq!(scenario.load.iter().map(|step| step.for_ns).collect::<Vec<_>>(), [4_000_000_000, 2_000_000_000]);
    }

    /// The files of the repository, all of them.
    #[test]
    fn the_scenarios_are_fine() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/scenarios");
        let mut count = 0;
        for entry in std::fs::read_dir(dir).expect("scenarios") {
            let path = entry.expect("entry").path();
            let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
            assert!(!scenario.about.trim().is_empty() && scenario.run.seed.is_some(), "{path:?}");
            let models =
                scenario.server.models.iter().map(|model| scenario.dir.join(&model.from).join("manifest.toml"));
            models.for_each(|manifest| assert!(manifest.is_file(), "{manifest:?}"));
            count += 1;
        }
        assert!(count >= 12, "{count}");
    }
}
