//! Scenarios: a server is started, load is played, something goes on meanwhile, and what came of it is written down.

mod bounds;
mod catalog;
pub mod file;
pub mod meanwhile;
pub mod proc;
pub mod server;
mod slow;

use crate::args::ScenarioArgs;
use crate::interrupt;
use crate::plan::{AdminPlan, Plan};
use crate::record::machine::Machine;
use crate::record::{Ran, Record, page};
use crate::run::{self, Verdict};
use file::Scenario;
use meanwhile::Going;
use proc::{Sample, Sampler};
use server::Server;
use std::path::{Path, PathBuf};

const FOLDER: &str = "loadtest/scenarios";

/// Runs them one after the other; the worst verdict counts.
pub fn run(args: &ScenarioArgs) -> Result<Verdict, String> {
    if args.list {
        return list().map(|()| Verdict::NotCompared);
    }
    interrupt::watch(true)?;
    let scenarios: Vec<Scenario> = args.files.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
    let mut worst = Verdict::NotCompared;
    let mut failures = Vec::new();
    for mut scenario in scenarios {
        if let Some(seconds) = args.seconds {
            scenario.shorten(seconds);
        }
        match one(args, scenario) {
            Ok(Verdict::Different) => worst = Verdict::Different,
            Ok(verdict) if worst == Verdict::NotCompared => worst = verdict,
            Ok(_) => {}
            Err(error) => failures.push(error),
        }
        if interrupt::count() > 0 {
            break;
        }
    }
    if failures.is_empty() { Ok(worst) } else { Err(failures.join("\nloadtest: ")) }
}

fn one(args: &ScenarioArgs, mut scenario: Scenario) -> Result<Verdict, String> {
    let name = scenario.name.clone();
    println!("scenario  {name}: {}", scenario.question());
    let machine = Machine::here();
    std::fs::create_dir_all(&args.out).map_err(|error| format!("cannot make {}: {error}", args.out.display()))?;
    let (mut server, gavel) = match &args.target {
        Some(target) => {
            (scenario.run.target, scenario.run.server.admin) = (target.clone(), args.admin.clone());
            scenario.run.server.admin_token.clone_from(&args.admin_token);
            scenario.run.server.allow_remote = args.allow_remote;
            (None, None)
        }
        None => {
            let executable = server::beside()?;
            let server = Server::start(&scenario.server, &scenario.dir, &executable)
                .map_err(|error| format!("{name}: {error}"))?;
            (scenario.run.target, scenario.run.server.admin) = (server.target.clone(), server.admin.clone());
            (Some(server), server::version(&executable))
        }
    };
    let played = play(&scenario, server.as_ref().map(Server::pid)).and_then(|(verdict, report, (samples, done))| {
        let ran = Ran { scenario: &scenario, shortened_to: args.seconds, machine, gavel, samples, done };
        let record = Record::new(&report, ran);
        write(&args.out, &name, &record, &report.requests().to_hgrm())?;
        show(&record);
        let broken =
            scenario.bounds.as_ref().zip(record.server.as_ref()).and_then(|(bounds, used)| bounds::check(bounds, used));
        let failed = broken == Some(true) || record.meanwhile.values().any(|deed| deed.failed > 0);
        Ok(if failed { Verdict::Different } else { verdict })
    });
    let ended = server.as_mut().map_or(Ok(()), Server::stop);
    let failed = !matches!(played, Ok(Verdict::Equal | Verdict::NotCompared)) || ended.is_err();
    if let Some(server) = server.as_ref().filter(|_| failed) {
        let path = args.out.join(format!("{name}.log"));
        match std::fs::write(&path, server.log()) {
            Ok(()) => eprintln!("gavel's log lines are in {}", path.display()),
            Err(error) => eprintln!("cannot write {}: {error}", path.display()),
        }
    }
    let verdict = played.map_err(|error| format!("{name}: {error}"))?;
    ended.map_err(|error| format!("{name}: {error}"))?;
    Ok(verdict)
}

type Beside = (Vec<Sample>, meanwhile::Done);

fn play(scenario: &Scenario, pid: Option<u32>) -> Result<(Verdict, crate::report::Report, Beside), String> {
    let (run, plan) = (&scenario.run, scenario.plan()?);
    let admin = AdminPlan::check(&run.server)?;
    let beside_plan: Plan = plan.clone();
    run::play(run, plan, true, |start| {
        let sampler = pid.map(|pid| Sampler::start(pid, start));
        let going = Going::start(&scenario.meanwhile, &scenario.server, &beside_plan, admin, start);
        move || (sampler.map(Sampler::end).unwrap_or_default(), going.end())
    })
}

fn write(out: &Path, name: &str, record: &Record, hgrm: &str) -> Result<(), String> {
    let json = serde_json::to_string(record).map_err(|error| error.to_string())?;
    for (end, text) in [("json", &json), ("hgrm", &hgrm.to_owned()), ("html", &page::page(record))] {
        let path = out.join(format!("{name}.{end}"));
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    println!("written   {}", out.join(format!("{name}.html")).display());
    Ok(())
}

fn show(record: &Record) {
    if let Some(server) = &record.server {
        let each = server.total_ms as f64 * 1e3 / record.answered().max(1.0);
        println!(
            "server    {:.2} s of processor time, {each:.1} us for each answered request, with its notices; {} KiB resident at \
             the start, {} KiB at the end",
            server.total_ms as f64 / 1e3,
            server.rss_start_kib,
            server.rss_end_kib
        );
    }
    for (name, deed) in &record.meanwhile {
        print!("meanwhile {name}: {}", deed.done);
        match deed.max_ms > 0.0 {
            true => println!(", p99 {:.1} ms, max {:.1} ms, {} failed", deed.p99_ms, deed.max_ms, deed.failed),
            false => println!(),
        }
        if let Some(failure) = &deed.first_failure {
            println!("failure   {failure}");
        }
    }
}

/// The scenarios of the checkout: of the working directory, or the one that the executable lies in.
fn folder() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok();
    let above = executable.iter().flat_map(|path| path.ancestors().skip(1)).map(|dir| dir.join(FOLDER));
    std::iter::once(PathBuf::from(FOLDER)).chain(above).find(|dir| dir.is_dir())
}

/// A file, or the name of one of the checkout's.
pub fn find(name: &str) -> Result<Scenario, String> {
    let path = Path::new(name);
    if path.extension().is_some() || path.components().count() > 1 {
        return Scenario::read(path);
    }
    let folder = folder().ok_or_else(|| format!("there is no {FOLDER} here: name a file"))?;
    let path = folder.join(format!("{name}.toml"));
    match path.is_file() {
        true => Scenario::read(&path),
        false => Err(format!("there is no scenario {name:?}: see loadtest scenario --list")),
    }
}

fn list() -> Result<(), String> {
    let folder = folder().ok_or_else(|| format!("there is no {FOLDER} here"))?;
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    for path in paths {
        let scenario = Scenario::read(&path)?;
        println!("{:<18}{}", scenario.name, scenario.question());
    }
    Ok(())
}
