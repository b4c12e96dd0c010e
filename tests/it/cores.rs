//! Serving threads on cores of their own.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;

use crate::make::campaign;
use crate::process::Process;
use crate::server::{wait_until, write_files};

/// On which cores each thread of a process may run, as the kernel says it.
fn allowed(process: u32) -> BTreeMap<String, String> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        // A thread may end between the listing and the look.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        threads.insert(field("Name:"), field("Cpus_allowed_list:"));
    }
    threads
}

#[test]
fn workers_stay_on_a_core_each_where_that_is_asked_for() {
    let ours = allowed(std::process::id()).into_values().next().unwrap();
    let several = ours.parse::<u32>().is_err();
    for pinned in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), &format!("[limits]\nworkers = 3\npin_workers = {pinned}\n"), &[campaign("a")]);
        let process = Process::start(dir.path(), &[], "admin");
        let worker = |threads: &BTreeMap<String, String>, i: usize| threads.get(&format!("worker-{i}")).cloned();
        wait_until("the workers are where they stay", || {
            let threads = allowed(process.id());
            let cores: Option<Vec<String>> = (0..3).map(|i| worker(&threads, i)).collect();
            cores.is_some_and(|cores| match pinned {
                false => cores.iter().all(|core| *core == ours),
                // One core each, and two workers share one only where there are too few.
                true => cores.iter().all(|core| core.parse::<u32>().is_ok()) && (cores[0] != cores[1]) == several,
            })
        });
        let others = allowed(process.id()).into_iter().filter(|(name, _)| !name.starts_with("worker-"));
        assert!(others.map(|(_, cores)| cores).all(|cores| cores == ours), "only the workers are bound");
        assert_eq!(process.connect().get("/ready").text(), "1");
    }
}
