//! The server under test, where none is given: the `gavel` that lies beside this executable, on loopback, with a data
//! directory of its own. Whatever happens it is ended, by its pid, and its directory is removed.

use super::catalog;
use super::file::{ModelSpec, ServerSpec};
use crate::interrupt;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A debug build with 100,000 campaigns takes half of it.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// What it would otherwise read from this process's environment.
const VARIABLES: [&str; 5] = ["GAVEL_LISTEN", "GAVEL_ADMIN_LISTEN", "GAVEL_DATA_DIR", "GAVEL_ADMIN_TOKEN", "GAVEL_LOG"];

pub struct Server {
    child: Child,
    dir: PathBuf,
    pub target: String,
    pub admin: String,
}

/// The executable of that name beside this one.
pub fn beside() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("where is this executable: {error}"))?;
    let path = own.with_file_name("gavel");
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("there is no {}: build it, or give --target and --admin", path.display())),
    }
}

/// What it says of itself, or nothing.
pub fn version(executable: &Path) -> Option<String> {
    let output = Command::new(executable).arg("--version").stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

impl Server {
    /// Starts it and waits until it takes traffic. `from` is where the scenario's paths begin.
    pub fn start(spec: &ServerSpec, from: &Path, executable: &Path) -> Result<Server, String> {
        let dir = make_dir().map_err(|error| format!("cannot make a directory for the server: {error}"))?;
        let child = prepare(spec, from, &dir).and_then(|()| launch(executable, &dir));
        let mut server = match child {
            Ok(child) => Server { child, dir, target: String::new(), admin: String::new() },
            Err(error) => {
                let _ = std::fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        server.wait().map_err(|error| format!("{error}\n{}", server.last_lines()))?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        let lines = read_lines(self.child.stdout.take())?;
        while self.target.is_empty() || self.admin.is_empty() {
            match lines.recv_timeout(LOOK) {
                Ok(line) => {
                    if let Some(url) = line.strip_prefix("traffic ") {
                        self.target = url.trim().to_owned();
                    } else if let Some(url) = line.strip_prefix("admin ") {
                        self.admin = url.trim().to_owned();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.still_starting(deadline)?,
                Err(RecvTimeoutError::Disconnected) => return Err("gavel did not start".to_owned()),
            }
        }
        while !is_ready(&self.target) {
            self.still_starting(deadline)?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn still_starting(&mut self, deadline: Instant) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) if interrupt::count() > 0 => Err("interrupted while gavel started".to_owned()),
            Ok(None) if Instant::now() > deadline => Err(format!("gavel was not ready after {START_LIMIT:?}")),
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("gavel ended: {status}")),
            Err(error) => Err(format!("gavel cannot be waited for: {error}")),
        }
    }

    /// Ends it as an operator would. An error if it had ended before, or does not end well.
    pub fn stop(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("gavel ended by itself: {status}"));
        }
        // Not waited for yet, so the pid is still its own.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("gavel did not end well: {status}")),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK / 5),
                _ => return Err(format!("gavel did not end within {STOP_LIMIT:?}")),
            }
        }
    }

    /// Its log lines so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("stderr")).unwrap_or_default()
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop();
        // Both do nothing to a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn make_dir() -> std::io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let dir = std::env::temp_dir().join(format!("loadtest-{}-{now:x}", std::process::id()));
    // Fails where it exists: nobody can have put anything into it.
    std::fs::create_dir(&dir)?;
    Ok(dir)
}

/// Writes what it starts from.
fn prepare(spec: &ServerSpec, from: &Path, dir: &Path) -> Result<(), String> {
    let cannot = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut config = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n".to_owned();
    if spec.campaigns + spec.hot + spec.clicks > 0 {
        config.push_str("catalog = [\"campaigns.json\"]\n");
        let path = dir.join("campaigns.json");
        write_campaigns(spec, &path).map_err(|error| cannot(&path, error))?;
    }
    config.push_str(&spec.config);
    let path = dir.join("gavel.toml");
    std::fs::write(&path, config).map_err(|error| cannot(&path, error))?;
    spec.models.iter().try_for_each(|model| copy_model(model, from, dir))
}

/// A file for the server's `catalog`.
pub fn write_campaigns(spec: &ServerSpec, path: &Path) -> std::io::Result<()> {
    let all = (0..u64::from(spec.campaigns)).map(|number| catalog::campaign(spec.seed, number, 0));
    let all = all.chain((0..spec.hot).map(catalog::hot)).chain((0..spec.clicks).map(catalog::clicks));
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    catalog::write(&mut file, all)?;
    file.flush()
}

/// Copies an artifact under each version: all of its files, the manifest with that version.
fn copy_model(model: &ModelSpec, from: &Path, dir: &Path) -> Result<(), String> {
    let from = from.join(&model.from);
    for version in &model.versions {
        let to = dir.join("data/models").join(&model.name).join(version);
        let copy = || -> std::io::Result<()> {
            std::fs::create_dir_all(&to)?;
            for entry in std::fs::read_dir(&from)? {
                let entry = entry?;
                let to = to.join(entry.file_name());
                match entry.file_name() == "manifest.toml" {
                    true => std::fs::write(to, with_version(&std::fs::read_to_string(entry.path())?, version))?,
                    false => drop(std::fs::copy(entry.path(), to)?),
                }
            }
            Ok(())
        };
        copy().map_err(|error| format!("cannot copy the model {}: {error}", from.display()))?;
    }
    Ok(())
}

/// The manifest with another version: that of its first lines, before any table.
fn with_version(manifest: &str, version: &str) -> String {
    let mut done = false;
    let lines = manifest.lines().map(|line| match !done && line.starts_with("version = ") {
        true => {
            done = true;
            format!("version = \"{version}\"\n")
        }
        false => format!("{line}\n"),
    });
    lines.collect()
}

fn launch(executable: &Path, dir: &Path) -> Result<Child, String> {
    let cannot = |error: std::io::Error| format!("cannot start {}: {error}", executable.display());
    let log = std::fs::File::create(dir.join("stderr")).map_err(cannot)?;
    let mut command = Command::new(executable);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command
        .current_dir(dir)
        .args(["--config", "gavel.toml"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C is for the generator, which ends the server when it is done with it.
        .process_group(0)
        .spawn()
        .map_err(cannot)
}

/// What it prints, as lines; read to the end, so that it never waits for a reader.
fn read_lines(stdout: Option<impl Read + Send + 'static>) -> Result<Receiver<String>, String> {
    let stdout = stdout.ok_or("gavel has no output")?;
    let (lines, read) = channel();
    let read_all = move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            // Nobody listens any more once it is ready.
            let _ = lines.send(line);
        }
    };
    let thread = std::thread::Builder::new().name("server-output".to_owned());
    thread.spawn(read_all).map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(read)
}

/// Whether `/ready` says 1.
fn is_ready(target: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let host = target.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains('1')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(spec: &ServerSpec) -> PathBuf {
        let dir = make_dir().expect("directory");
        let from = Path::new(env!("CARGO_MANIFEST_DIR"));
        prepare(spec, from, &dir).expect("prepared");
        dir
    }

    #[test]
    fn what_it_starts_from() {
        let model = ModelSpec {
            name: "ctr".to_owned(),
            from: PathBuf::from("models/ctr/2026-11-20.1"),
            versions: vec!["a".to_owned(), "b".to_owned()],
        };
        let spec = ServerSpec { campaigns: 3, hot: 1, clicks: 2, models: vec![model], ..ServerSpec::default() };
        let dir = dir(&spec);
        let campaigns = std::fs::read(dir.join("campaigns.json")).expect("campaigns");
        assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&campaigns).expect("JSON").len(), 6);
        for version in ["a", "b"] {
            let manifest = dir.join("data/models/ctr").join(version).join("manifest.toml");
            let manifest: toml::Table = std::fs::read_to_string(manifest).expect("manifest").parse().expect("TOML");
            assert_eq!(manifest["version"].as_str(), Some(version));
        }
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn one_that_ends_at_once_is_an_error_with_its_directory_gone() {
        let spec = ServerSpec { campaigns: 0, ..ServerSpec::default() };
        let error = Server::start(&spec, Path::new("."), Path::new("/bin/false")).err().expect("an error");
        assert!(error.contains("gavel"), "{error}");
        let error = Server::start(&spec, Path::new("."), Path::new("/no/such/file")).err().expect("an error");
        assert!(error.contains("cannot start"), "{error}");
    }
}
