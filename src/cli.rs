//! The command line.

mod audit;
mod export;
mod lists;
mod model;
mod replay;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::admin::{catalog_files, supply_files, traffic_files};
use crate::app::{self, App};
use crate::clock::SystemClock;
use crate::config::{Config, RawConfig};
use crate::fraud::policy::{Lists, first_lists};
use crate::fraud::{Policy, Velocity};
use crate::modelstore::{self, folder};
use crate::serve::{keys, tls};
use crate::telemetry::logs;

/// A decision server: OpenRTB bid requests in, bids out, money that cannot be overspent.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Without a command it serves. Without a config file it serves the built-in demo:\n\n  \
                  gavel                           serve on 127.0.0.1:8080, admin on 127.0.0.1:9090, data in ./data\n  \
                  gavel --listen 127.0.0.1:0      on a free port; the addresses bound are printed\n  \
                  gavel check --config gavel.toml list every fault of config, campaigns and models\n\n\
                  Log lines go to stderr; GAVEL_LOG sets their level (error, warn, info, debug)."
)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args, Debug)]
struct Options {
    /// Config file; default gavel.toml in the working directory, if there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the traffic listener; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, global = true, env = "GAVEL_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of the admin listener; needs a token unless on loopback [default: 127.0.0.1:9090]
    #[arg(long, global = true, env = "GAVEL_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Where the log, the books and the keys live [default: data]
    #[arg(long, global = true, env = "GAVEL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve bids and notices (also the default without a command)
    Serve,
    /// Check config, campaign files and models, list every fault, exit 1 if there is one
    Check,
    /// Recompute the books from the log alone, compare them with the stored ones, name every difference, exit 1 if
    /// there is one. Reads only; a server may be running
    Audit {
        /// Compare the accounts of the running server with this admin address too, such as http://127.0.0.1:9090:
        /// each as of the event that it had come to, so it may be busy. The token is the config's admin_token, or GAVEL_ADMIN_TOKEN
        #[arg(long, value_name = "URL", conflicts_with = "archive")]
        server: Option<String>,
        /// Recompute from the Parquet files of `gavel export` alone, by default those in the data directory; s3://bucket/prefix
        /// downloads them first
        #[arg(long, value_name = "DIR")]
        archive: Option<Option<String>>,
    },
    /// Write what the log holds and the archive does not to Parquet files. A server may be running
    #[command(after_help = export::HELP)]
    Export(export::Export),
    /// Write what each campaign is invoiced for a month: CSV and Parquet, from the books. A server may be running
    #[command(after_help = report::HELP)]
    Report(report::Report),
    /// Rebuild the books from the first event on and tell their hash; or make decisions of the log again: those on fraud checks,
    /// compared to the last bit or by other rules and models, and what other campaigns, prices or models would have bid for
    /// recorded requests. Exit 1 if something differs that should not. Reads only; a server may be running
    #[command(after_help = replay::HELP)]
    Replay(replay::Replay),
    /// Keys that sign notice URLs
    #[command(subcommand)]
    Keys(KeyCommand),
    /// Lists of traffic that is not bid for, in the forms in which they are published: check and merge them into one file
    #[command(subcommand)]
    Lists(lists::ListsCommand),
    /// Scoring models: a folder with manifest.toml and the library's own file
    #[command(subcommand)]
    Model(model::ModelCommand),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Add a new key, which signs from the next start on; notices signed before stay valid as long as their tokens live
    Rotate,
}

/// Runs what the command line says.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    logs::start();
    if let Some(Command::Model(command)) = &cli.command {
        return model::run(command, || configuration(cli.options));
    }
    if let Some(Command::Lists(command)) = &cli.command {
        return lists::run(command);
    }
    let (config, faults) = match configuration(cli.options) {
        Ok(checked) => checked,
        Err(fault) => (None, vec![fault]),
    };
    if let (Some(config), Some(Command::Check)) = (&config, &cli.command) {
        return check(config, faults);
    }
    let config = match config {
        Some(config) if faults.is_empty() => config,
        _ => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            eprintln!("{} fault(s) in the configuration", faults.len());
            return ExitCode::FAILURE;
        }
    };
    match cli.command {
        None | Some(Command::Serve) => serve(config),
        Some(Command::Check) => check(&config, faults),
        Some(Command::Audit { server, archive }) => {
            let audited = match archive {
                Some(dir) => audit::archive(&config, dir.as_deref()),
                None => audit::log(&config, server.as_deref()),
            };
            match audited {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("the audit could not be done: {error}");
                    ExitCode::from(2)
                }
            }
        }
        Some(Command::Export(options)) => export::run(&config, &options),
        Some(Command::Report(options)) => report::run(&config, &options),
        Some(Command::Replay(replay)) => replay::run(&config, &replay),
        Some(Command::Keys(KeyCommand::Rotate)) => rotate(&config),
        // Ran above: they need no config.
        Some(Command::Model(_) | Command::Lists(_)) => ExitCode::SUCCESS,
    }
}

/// The config, with its faults; or why there is none.
fn configuration(options: Options) -> Result<(Option<Config>, Vec<String>), String> {
    let mut raw = RawConfig::read(options.config.as_deref()).map_err(|fault| fault.to_string())?;
    raw.listen = options.listen;
    raw.admin_listen = options.admin_listen;
    raw.data_dir = options.data_dir;
    raw.admin_token = std::env::var("GAVEL_ADMIN_TOKEN").ok();
    let (config, faults) = raw.check_all();
    Ok((Some(config), faults.iter().map(ToString::to_string).collect()))
}

/// Lists the faults of the config, of the TLS files, of the campaign files and of the models.
fn check(config: &Config, mut faults: Vec<String>) -> ExitCode {
    let campaigns = match catalog_files::load(config) {
        Ok(campaigns) => campaigns.len(),
        Err(found) => {
            faults.extend(found.iter().map(ToString::to_string));
            0
        }
    };
    faults.extend(config.tls.as_ref().and_then(|files| tls::check(files).err()));
    if let Err(found) = supply_files::load(config) {
        faults.extend(found.iter().map(ToString::to_string));
    }
    if let Err(found) = traffic_files::load(config) {
        faults.extend(found.iter().map(ToString::to_string));
    }
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &config.log.kafka {
        faults.extend(crate::eventlog::kafka::faults(kafka).unwrap_or_else(|why| vec![why]));
    }
    faults.extend(fraud_faults(config));
    let models = folder::list(&config.models);
    for (name, version) in &models {
        let checked = modelstore::check(&config.models, name, version, &app::sources(config, name));
        // A start with other windows may have left the demo's model there.
        let is_demo = || modelstore::demo::is_demo(&config.models.join(name).join(version));
        let fault = checked.err().filter(|_| !is_demo());
        faults.extend(fault.map(|fault| format!("model {name} {version}: {fault}")));
    }
    if faults.is_empty() {
        println!("config, {campaigns} campaigns and {} models are fine", models.len());
        return ExitCode::SUCCESS;
    }
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    eprintln!("{} fault(s)", faults.len());
    ExitCode::FAILURE
}

/// What is wrong with the rules of the file. Lists that they mention are taken to exist: REST may have put them.
fn fraud_faults(config: &Config) -> Vec<String> {
    let fraud = &config.fraud;
    // Faults of windows are faults of the config.
    let Ok(velocity) = Velocity::new(fraud.windows.clone(), fraud.limits()) else { return Vec::new() };
    let lists = first_lists(Lists::default(), &fraud.rules_text);
    let faults = Policy::new(&fraud.rules_text, &velocity, lists).err().unwrap_or_default();
    let file = fraud.rules.as_ref().map_or("rules".to_owned(), |file| file.display().to_string());
    faults.iter().map(|fault| format!("{file}: {}: {}", fault.pointer, fault.message)).collect()
}

fn rotate(config: &Config) -> ExitCode {
    let made = std::fs::create_dir_all(&config.data_dir).map_err(|e| e.to_string());
    let (keys, now) = (config.data_dir.join("notice-keys"), SystemClock::start().now());
    match made.and_then(|()| keys::rotate(&keys, now, config.token_lifetime_ms())) {
        Ok(id) => {
            println!("key {id} signs from the next start on");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> ExitCode {
    let demo = config.catalog.is_none();
    let exchange = config.exchanges.first().map(|e| e.name.clone()).unwrap_or_default();
    let app = match App::start(config) {
        Ok(app) => app,
        Err(error) => {
            eprintln!("gavel cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Whoever read these lines may be gone already (`gavel | head -2`): that is no reason to stop serving.
    let _told = tell(&app, demo.then_some(&exchange));
    let failure = wait(&app);
    let stopped = app.stop();
    match (failure, stopped) {
        (None, Ok(())) => ExitCode::SUCCESS,
        (Some(reason), _) => {
            eprintln!(
                "{reason}. What is in the log is safe: start again. If the next start ends like this too, `gavel audit` \
                 tells what is wrong with the log or the books"
            );
            ExitCode::FAILURE
        }
        (None, Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the addresses bound, and how to get a bid from the demo's exchange.
fn tell(app: &App, demo: Option<&String>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (scheme, curl) = if app.tls { ("https", "curl -sk") } else { ("http", "curl -s") };
    writeln!(out, "traffic {scheme}://{}\nadmin http://{}", app.traffic, app.admin)?;
    if let Some(exchange) = demo {
        let request = r#"{"id":"1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"example.com"}}"#;
        writeln!(out, "\nThe demo is running. Get a bid with:\n")?;
        writeln!(out, "{curl} {scheme}://{}/openrtb2/{exchange} -d '{request}'", app.traffic)?;
        writeln!(out, "\nCtrl-C stops it.")?;
    }
    out.flush()
}

/// How often files that may change are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(1);

/// Waits for SIGINT or SIGTERM, or for something to fail that gavel cannot do without. SIGHUP reads files again that may
/// change (certificate, traffic lists, fraud keys), and so does a change of theirs; where there are none, it ends too.
fn wait(app: &App) -> Option<String> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Some(error.to_string()),
    };
    runtime.block_on(async {
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
            return Some("cannot listen for signals".to_owned());
        };
        let mut look = tokio::time::interval(Duration::from_millis(100));
        let mut look_at_files = tokio::time::interval(LOOK_AT_FILES);
        loop {
            tokio::select! {
                _ = interrupt.recv() => return None,
                _ = terminate.recv() => return None,
                _ = hangup.recv() => if !app.reload() { return None },
                _ = look_at_files.tick() => app.look_at_files(),
                _ = look.tick() => if let Some(reason) = app.failure() { return Some(reason) },
            }
        }
    })
}
