//! `loadtest scenario` with the built binaries: it starts a gavel of its own and leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::errors_of;
use crate::server::wait_for;

/// A scenario's run, with a directory of its own for what it makes for the server.
fn loadtest(dir: &Path, arguments: &[&str]) -> Command {
    let servers = servers(dir);
    std::fs::create_dir_all(&servers).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("scenario").args(arguments).arg("--out").arg(dir.join("out")).env("TMPDIR", servers);
    command.stdin(Stdio::null());
    command
}

fn servers(dir: &Path) -> PathBuf {
    dir.join("servers")
}

/// Whether a process works in there.
fn works_in(dir: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .into_iter()
        .any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)))
}

#[track_caller]
fn assert_nothing_is_left(dir: &Path) {
    assert!(!works_in(&servers(dir)), "a server is still running");
    assert_eq!(std::fs::read_dir(servers(dir)).unwrap().count(), 0, "a server's directory is still there");
}

fn record(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("out").join(name)).unwrap()).unwrap()
}

#[test]
fn scenarios_end_with_equal_books() {
    let dir = tempfile::tempdir().unwrap();
    let output = loadtest(dir.path(), &["steady", "fraud", "--seconds", "3"]).output().unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}{}", errors_of(&output));
    assert_nothing_is_left(dir.path());
    let steady = record(dir.path(), "steady.json");
    assert_eq!(steady["report"]["books"]["equal"], true, "{printed}");
    assert!(steady["report"]["bids"].as_u64() > Some(0), "{printed}");
    assert!(steady["gavel"].as_str().unwrap().starts_with("gavel "), "{}", steady["gavel"]);
    assert!(steady["server"]["total_ms"].as_u64() > Some(0) && steady["server"]["rss_end_kib"].as_u64() > Some(1000));
    let fraud = record(dir.path(), "fraud.json");
    let checks = &fraud["report"]["checks"];
    assert!(checks["faults"].as_object().unwrap().is_empty(), "{printed}");
    assert!(checks["repeated"].as_u64() > Some(10) && checks["outcomes"].as_u64() > Some(10), "{printed}");
    assert!(checks["decisions"]["allow"].as_u64() > Some(100), "{printed}");
    for name in ["steady", "fraud"] {
        for end in ["html", "hgrm"] {
            assert!(dir.path().join("out").join(format!("{name}.{end}")).metadata().unwrap().len() > 1000);
        }
    }
}

/// Ends it once it is that far.
fn interrupted(signal: i32, is_that_far: impl Fn(&Path) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let errors = std::fs::File::create(dir.path().join("err")).unwrap();
    let mut command = loadtest(dir.path(), &["steady", "--seconds", "60"]);
    let mut child: Child = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    wait_for(Duration::from_secs(100), "it is that far", || is_that_far(dir.path()));
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: kill takes two numbers; the process is ours and has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    wait_for(Duration::from_secs(100), "it ends", || child.try_wait().unwrap().is_some());
    assert_nothing_is_left(dir.path());
}

#[test]
fn an_interrupt_while_the_server_starts_ends_it_too() {
    interrupted(libc::SIGINT, |dir| {
        let mut servers = std::fs::read_dir(servers(dir)).unwrap().flatten();
        servers.any(|server| server.path().join("stderr").exists())
    });
}

#[test]
fn a_signal_under_load_ends_the_server_too() {
    interrupted(libc::SIGTERM, |dir| std::fs::read_to_string(dir.join("err")).unwrap().contains(" answers "));
}
