//! The driving side: keep-alive connections with ready-made requests, closed-loop or at planned times.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::LocalSet;

use crate::support::requests::request;
use crate::timer::{Timer, thread_cpu_ns};

pub const CONNECTIONS: usize = 64;
/// Different requests; more than the processor's caches hold.
pub const REQUESTS: usize = 4_096;
/// Where this stands in a request, every one that is sent has a number of its own.
pub const NUMBER: &str = "@@@@@@@@@@@@";
/// An answer that takes longer than this ends the run.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What one round of requests came to.
#[derive(Debug, Default)]
pub struct Round {
    pub answered: u64,
    /// Answers with a bid in them.
    pub bids: u64,
    pub body_bytes: u64,
    /// From the planned time where there was one; in nanoseconds, ascending.
    pub latencies: Vec<u64>,
    pub took: Duration,
    /// Processor time of the driving thread.
    pub client_ns: u64,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// In microseconds.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        let at = (self.latencies.len() as f64 * quantile) as usize;
        self.latencies.get(at).or(self.latencies.last()).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
    }
}

/// The requests, as bytes to be sent.
pub fn requests() -> Rc<[Vec<u8>]> {
    let whole = |i| {
        let body = request(i);
        let head = format!(
            "POST /openrtb2/demo HTTP/1.1\r\nhost: bidder.example\r\ncontent-type: application/json\r\n\
             x-openrtb-version: 2.6\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        (head + &body).into_bytes()
    };
    (0..REQUESTS).map(whole).collect()
}

/// A server and the connections to it.
pub struct Client {
    connections: Vec<Rc<Mutex<Connection>>>,
    requests: Rc<[Vec<u8>]>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    next: usize,
    /// Requests of all connections so far.
    sent: Rc<Cell<u64>>,
    numbered: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr, requests: &Rc<[Vec<u8>]>) -> io::Result<Client> {
        let mut connections = Vec::with_capacity(CONNECTIONS);
        let sent = Rc::new(Cell::new(0));
        for i in 0..CONNECTIONS {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let next = i * (REQUESTS / CONNECTIONS);
            connections.push(Rc::new(Mutex::new(Connection {
                stream,
                buffer: vec![0; 16 << 10],
                next,
                sent: sent.clone(),
                numbered: Vec::new(),
            })));
        }
        Ok(Client { connections, requests: requests.clone() })
    }

    /// Every connection sends its next request as soon as it has its answer.
    pub async fn saturate(&self, time: Duration) -> io::Result<Round> {
        let round = self.round(|_| async move |started: Instant| (started.elapsed() < time).then(Instant::now));
        // The client never sleeps: what it costs a server to wake it depends on how fast that server is.
        let awake = async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            round = round => round,
            never = awake => never,
        }
    }

    /// Requests at equal distances, each on any free connection; they wait when none is.
    pub async fn at_rate(&self, per_second: f64, time: Duration) -> io::Result<Round> {
        let planned = Rc::new((Semaphore::new(0), RefCell::new(VecDeque::new())));
        let pacer = {
            let planned = planned.clone();
            async move {
                let (timer, started) = (Timer::new()?, Instant::now());
                for i in 0..(per_second * time.as_secs_f64()) as u64 {
                    let at = started + Duration::from_secs_f64(i as f64 / per_second);
                    while let Some(wait) = at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                        timer.sleep(wait).await?;
                    }
                    planned.1.borrow_mut().push_back(at);
                    planned.0.add_permits(1);
                }
                // Those who wait find nothing in the queue and end.
                planned.0.add_permits(CONNECTIONS);
                io::Result::Ok(())
            }
        };
        let next = |_| {
            let planned = planned.clone();
            async move |_: Instant| {
                planned.0.acquire().await.ok()?.forget();
                planned.1.borrow_mut().pop_front()
            }
        };
        let (round, paced) = tokio::join!(self.round(next), pacer);
        paced?;
        round
    }

    /// Sends for as long as `next` gives the time at which a request was due.
    async fn round<N>(&self, make_next: impl Fn(usize) -> N) -> io::Result<Round>
    where
        N: AsyncFn(Instant) -> Option<Instant> + 'static,
    {
        let (started, cpu) = (Instant::now(), thread_cpu_ns());
        let sum = Rc::new(RefCell::new(Round::default()));
        let tasks = LocalSet::new();
        for (i, connection) in self.connections.iter().enumerate() {
            let (connection, requests, sum, next) =
                (connection.clone(), self.requests.clone(), sum.clone(), make_next(i));
            tasks.spawn_local(async move {
                // One task per connection and round: it is free.
                let connection = &mut *connection.lock().await;
                while let Some(due) = next(started).await {
                    let call = tokio::time::timeout(ANSWER_LIMIT, connection.call(&requests));
                    let (status, length) = call.await.map_err(io::Error::other)??;
                    let sum = &mut *sum.borrow_mut();
                    sum.answered += 1;
                    sum.bids += u64::from(status == 200);
                    sum.body_bytes += length as u64;
                    sum.latencies.push(due.elapsed().as_nanos() as u64);
                }
                io::Result::Ok(())
            });
        }
        tasks.await;
        let mut round = sum.take();
        round.took = started.elapsed();
        round.client_ns = thread_cpu_ns() - cpu;
        round.latencies.sort_unstable();
        Ok(round)
    }
}

impl Connection {
    /// Sends the next request; the status and the length of the body that came back.
    async fn call(&mut self, requests: &[Vec<u8>]) -> io::Result<(u16, usize)> {
        self.next = (self.next + 1) % requests.len();
        self.sent.set(self.sent.get() + 1);
        self.numbered.clone_from(&requests[self.next]);
        let mut from = 0;
        while let Some(at) = find(&self.numbered[from..], NUMBER.as_bytes()) {
            from += at + NUMBER.len();
            let number = format!("{:0width$}", self.sent.get(), width = NUMBER.len());
            self.numbered[from - NUMBER.len()..from].copy_from_slice(number.as_bytes());
        }
        self.stream.write_all(&self.numbered).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some((status, head, body)) = parse(&self.buffer[..filled])?
                && head + body <= filled
            {
                return if status < 300 { Ok((status, body)) } else { Err(unexpected(&self.buffer[..filled])) };
            }
        }
    }
}

/// Where one text begins in another.
pub fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Status, length of the head and length of the body; `None` as long as the head is not complete.
fn parse(answer: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| unexpected(answer))?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| unexpected(answer))?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(Ok(0), str::parse);
    Ok(Some((status, end + 4, length.map_err(|_| unexpected(answer))?)))
}

fn unexpected(answer: &[u8]) -> io::Error {
    io::Error::other(format!("unexpected answer: {}", String::from_utf8_lossy(answer)))
}
