//! Brokers in processes of their own, on loopback; they end with this one.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use crate::server::wait_for;

/// A machine that builds something else meanwhile starts no Java in less.
const START: Duration = Duration::from_secs(180);

pub struct Broker {
    dir: TempDir,
    ports: [u16; 2],
    child: Mutex<Option<Child>>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker")
}

/// Whether there is what a broker needs; says what is missing.
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let fetched = Command::new(script()).arg("fetch").output().unwrap();
        print!("{}", String::from_utf8_lossy(&fetched.stdout));
        match fetched.status.code() {
            Some(0) => true,
            Some(3) => false,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&fetched.stderr)),
        }
    })
}

/// The broker of all tests that leave it alone; None where there can be none.
pub fn shared() -> Option<&'static Broker> {
    static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
    SHARED.get_or_init(|| is_possible().then(Broker::start)).as_ref()
}

/// One of a test's own; None where there can be none.
pub fn own() -> Option<Broker> {
    is_possible().then(Broker::start)
}

/// Some port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Broker {
    pub fn start() -> Broker {
        let broker = Broker::absent();
        broker.run();
        broker
    }

    /// Not started yet.
    pub fn absent() -> Broker {
        Broker { dir: tempfile::tempdir().unwrap(), ports: [free_port(), free_port()], child: Mutex::new(None) }
    }

    /// The same with these lines in its configuration, `{port}` and `{other}` being its ports.
    pub fn configured(self, lines: &str) -> Broker {
        let [port, other] = self.ports.map(|port| port.to_string());
        let lines = lines.replace("{port}", &port).replace("{other}", &other);
        std::fs::write(self.dir.path().join("more.properties"), lines).unwrap();
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Starts it on the data that it has, and waits until it listens.
    pub fn run(&self) {
        let errors = std::fs::File::create(self.dir.path().join("broker.txt")).unwrap();
        let mut command = Command::new(script());
        command.arg("run").arg(self.dir.path()).args(self.ports.map(|port| port.to_string()));
        command.stdin(Stdio::null()).stdout(errors.try_clone().unwrap()).stderr(errors);
        // It ends with the thread that started it: one that lasts.
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            tell.send(command.spawn().unwrap()).unwrap();
            loop {
                std::thread::park();
            }
        });
        *self.child.lock().unwrap() = Some(told.recv().unwrap());
        let address: SocketAddr = self.address().parse().unwrap();
        wait_for(START, "the broker listens", || {
            let ended = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the broker has ended: {}", self.said());
            TcpStream::connect(address).is_ok()
        });
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("broker.txt")).unwrap_or_default()
    }

    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.lock().unwrap().as_ref().unwrap().id()).unwrap();
        // SAFETY: kill takes two numbers; the process is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
