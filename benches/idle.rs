//! What a connection that does nothing takes in memory: resident bytes of gavel for each of 10,000 keep-alive connections,
//! beside those of a bare hyper server.
//!
//! Both are processes of their own with one serving thread. What the kernel holds for a socket is in neither.

#[path = "support/caller.rs"]
mod caller;
#[expect(dead_code, reason = "processor time is for ratio")]
#[path = "ratio/servers.rs"]
mod servers;
#[expect(dead_code, reason = "one catalog will do")]
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use caller::{Caller, PATIENCE};
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use servers::Server;
use support::campaigns::{USUAL, campaign};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

const CAMPAIGNS: usize = 1_000;
/// Requests before anything is counted: what does not belong to connections has its size then.
const WARM_UP: usize = 20_000;
/// Files that are no connections.
const FILES_BESIDE: u64 = 1_000;

/// Resident memory of a server for each connection: once it is there, after a request on it, and after it did nothing for a
/// while. Linux only: memory is read from /proc.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections; each side needs as many open files
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds in which they do nothing
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Given by cargo; without it everything is small, as a test that the bench works
    #[arg(long, hide = true)]
    bench: bool,
    /// A process of the bench itself: which server it is
    #[arg(long, hide = true)]
    role: Option<Role>,
    #[arg(long, hide = true, default_value = ".")]
    dir: PathBuf,
    #[arg(long, hide = true, default_value_t = 0)]
    body_bytes: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Bare,
    Gavel,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if !arguments.bench && arguments.role.is_none() {
        (arguments.connections, arguments.seconds) = (20, 0.1);
    }
    let done = match arguments.role {
        Some(Role::Gavel) => servers::gavel(&arguments.dir),
        Some(Role::Bare) => servers::bare(arguments.body_bytes),
        None => compare(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), Error> {
    open_files(arguments.connections as u64 + FILES_BESIDE)?;
    let dir = tempfile::tempdir()?;
    let campaigns = (0..CAMPAIGNS).map(|i| campaign(i, USUAL).to_string());
    let path = servers::prepare(dir.path(), "", campaigns)?;
    let gavel = Server::start(&["--role", "gavel", "--dir", path.to_str().ok_or("the path is not UTF-8")?])?;
    let (ours, body_bytes) = measure(&gavel, arguments)?;
    drop(gavel);
    let bare = Server::start(&["--role", "bare", "--body-bytes", &body_bytes.to_string()])?;
    let (theirs, _) = measure(&bare, arguments)?;
    println!("{} connections; resident bytes for each of them", arguments.connections);
    println!("{:<32}{:>10}{:>12}", "", "gavel", "bare hyper");
    let after = format!("after {} s without one", arguments.seconds);
    for (what, (ours, theirs)) in ["connected", "after a request each", &after].iter().zip(ours.iter().zip(theirs)) {
        println!("{what:<32}{ours:>10.0}{theirs:>12.0}");
    }
    Ok(())
}

/// Bytes for each connection, at each stage; and the mean size of an answer's body.
fn measure(server: &Server, arguments: &Arguments) -> Result<([f64; 3], usize), Error> {
    let count = arguments.connections;
    let mut body_bytes = 0;
    let mut one = Caller::connect(server.traffic)?;
    for i in 0..WARM_UP.min(count * 10) {
        one.ask(i)?;
    }
    let (before, files) = (resident_bytes(server)?, files(server)?);
    let each = || -> Result<f64, Error> { Ok((resident_bytes(server)? as f64 - before as f64) / count as f64) };
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Caller::connect(server.traffic)?);
    }
    let since = Instant::now();
    while self::files(server)? < files + count {
        if since.elapsed() > PATIENCE {
            return Err("the server does not accept all connections".into());
        }
        sleep(Duration::from_millis(10));
    }
    let connected = each()?;
    for (i, connection) in connections.iter_mut().enumerate() {
        body_bytes += connection.ask(i)?;
    }
    let asked = each()?;
    sleep(Duration::from_secs_f64(arguments.seconds));
    let idle = each()?;
    for (i, connection) in connections.iter_mut().enumerate() {
        connection.ask(i)?;
    }
    Ok(([connected, asked, idle], body_bytes / count))
}

fn resident_bytes(server: &Server) -> Result<u64, Error> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? << 10)
}

fn files(server: &Server) -> Result<usize, Error> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.id()))?.count())
}

/// Raises how many files this process, and those that it starts, may have open.
fn open_files(needed: u64) -> Result<(), Error> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        if maximum.is_some_and(|maximum| maximum < needed) {
            return Err(format!(
                "{needed} open files are needed: raise the limit (ulimit -n), or take fewer connections"
            )
            .into());
        }
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })?;
    }
    Ok(())
}
