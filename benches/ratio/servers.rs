//! The two servers under test, each a process of its own: this program again, in another role.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, io, thread};

use bytes::Bytes;
use gavel::app::App;
use gavel::config::RawConfig;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::task::LocalSet;

use crate::Error;

/// What both servers' serving thread is called.
pub const WORKER: &str = "worker-0";
const MAX_HEAD_BYTES: usize = (16 << 10) + 2_048;

/// A running server; it ends with this value.
pub struct Server {
    child: Child,
    pub traffic: SocketAddr,
    pub admin: SocketAddr,
}

/// Processor time in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub worker: u64,
    pub process: u64,
    /// How long the serving thread was ready and had no processor.
    pub worker_waited: u64,
}

impl Server {
    /// Starts this program with `arguments` and waits until it has said where it listens.
    pub fn start(arguments: &[&str]) -> Result<Server, Error> {
        Server::launch(&env::current_exe()?, arguments)
    }

    /// The same of another program.
    pub fn launch(program: &Path, arguments: &[&str]) -> Result<Server, Error> {
        let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let mut address = || -> Result<SocketAddr, Error> {
            Ok(lines.next().ok_or("the server ended before it listened")??.parse()?)
        };
        let (traffic, admin) = (address()?, address()?);
        Ok(Server { child, traffic, admin })
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has used so far.
    pub fn cpu(&self) -> Result<Cpu, Error> {
        let mut cpu = Cpu::default();
        for (name, [ran, waited]) in self.schedules()? {
            cpu.process += ran;
            if name == WORKER {
                (cpu.worker, cpu.worker_waited) = (cpu.worker + ran, cpu.worker_waited + waited);
            }
        }
        Ok(cpu)
    }

    /// Each thread's name and what it has used so far.
    pub fn threads(&self) -> Result<Vec<(String, u64)>, Error> {
        Ok(self.schedules()?.into_iter().map(|(name, [ran, _])| (name, ran)).collect())
    }

    /// Each thread's name and its `schedstat`: nanoseconds on a processor, and ready without one.
    fn schedules(&self) -> Result<Vec<(String, [u64; 2])>, Error> {
        let mut threads = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let task = task?.path();
            // A thread may end between the listing and the look.
            let (Ok(name), Ok(stat)) =
                (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat")))
            else {
                continue;
            };
            let mut fields = stat.split(' ').map(str::parse);
            let mut next = || fields.next().ok_or("a short schedstat");
            threads.push((name.trim_end().to_owned(), [next()??, next()??]));
        }
        Ok(threads)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is only measured: nothing of it is kept, so it need not end well.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Says where the server listens and waits until the parent is gone.
pub fn until_the_parent_ends(traffic: SocketAddr, admin: SocketAddr) {
    println!("{traffic}\n{admin}");
    let _end = io::stdin().read_to_end(&mut Vec::new());
}

/// gavel as the product starts it, with one worker.
pub fn gavel(dir: &Path) -> Result<(), Error> {
    let path = dir.join("gavel.toml");
    let raw = RawConfig { file: Some((path.clone(), fs::read_to_string(path)?)), ..RawConfig::default() };
    let config = raw.check().map_err(|faults| faults[0].to_string())?;
    let app = App::start(config)?;
    until_the_parent_ends(app.traffic, app.admin);
    Ok(app.stop()?)
}

/// Campaigns of one file, which gavel reads only up to a size.
const A_FILE: usize = 100_000;

/// Writes what [`gavel`] starts from; `limits` are lines of that section.
pub fn prepare(dir: &Path, limits: &str, mut campaigns: impl Iterator<Item = String>) -> Result<PathBuf, Error> {
    for file in 0.. {
        let some: Vec<String> = campaigns.by_ref().take(A_FILE).collect();
        if some.is_empty() {
            break;
        }
        fs::write(dir.join(format!("campaigns-{file}.json")), format!("[{}]", some.join(",\n")))?;
    }
    let config = format!(
        "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
         catalog = [\"campaigns-*.json\"]\n[limits]\nworkers = 1\n{limits}"
    );
    fs::write(dir.join("gavel.toml"), config)?;
    Ok(dir.to_owned())
}

/// hyper as gavel uses it, which reads the whole body and answers the same `body_bytes` each time.
pub fn bare(body_bytes: usize) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let body = Bytes::from(vec![b'x'; body_bytes]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || LocalSet::new().block_on(&runtime, serve(listener, body));
    thread::Builder::new().name(WORKER.to_owned()).spawn(run)?;
    until_the_parent_ends(address, address);
    Ok(())
}

async fn serve(listener: TcpListener, body: Bytes) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let body = body.clone();
            async move {
                request.into_body().collect().await?;
                let mut response = Response::new(Full::new(body));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert("x-openrtb-version", HeaderValue::from_static("2.6"));
                Ok::<_, hyper::Error>(response)
            }
        });
        tokio::task::spawn_local(async move {
            let _ended = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(MAX_HEAD_BYTES)
                .writev(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
