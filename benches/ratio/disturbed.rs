//! Latency of bids while something is done to the server over and over, against latency while nothing is.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::servers::Server;
use crate::table::{Series, header};
use crate::{Arguments, Error};

/// Requests per second where no rate was asked for: well below what one core answers.
const RATE: f64 = 10_000.0;
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

pub type Act = dyn Fn(&mut TcpStream, usize) -> io::Result<()> + Send + Sync;

/// What is done to the server.
pub struct Disturbance {
    pub what: &'static str,
    /// From the start of one to the start of the next.
    pub interval: Duration,
    /// Does it once, of a number; asks the admin listener.
    pub act: Arc<Act>,
}

pub async fn compare(
    arguments: &Arguments,
    disturbance: &Disturbance,
    gavel: &Server,
    client: &Client,
) -> Result<(), Error> {
    let Disturbance { what, interval, .. } = disturbance;
    let (rate, time) = (arguments.rate.unwrap_or(RATE), Duration::from_secs_f64(arguments.seconds));
    println!("\nat {rate:.0} requests per second, {} rounds of {} s each way", arguments.rounds, arguments.seconds);
    let mut latencies: [[Series; 3]; 2] = Default::default();
    let mut ratios: [Series; 3] = Default::default();
    let mut each = Series::default();
    let mut worker = [Series::default(), Series::default()];
    let mut waited = [Series::default(), Series::default()];
    for round in 0..arguments.rounds {
        // Each goes first every other time.
        for disturbed in [round % 2 == 1, round % 2 == 0] {
            let stop = Arc::new(AtomicBool::new(!disturbed));
            let actor = {
                let (admin, act, stop) = (gavel.admin, disturbance.act.clone(), stop.clone());
                let interval = *interval;
                thread::spawn(move || over_and_over(admin, round * 1_000, interval, &*act, &stop))
            };
            let before = gavel.cpu()?;
            let measured = client.at_rate(rate, time).await;
            let after = gavel.cpu()?;
            stop.store(true, Ordering::Relaxed);
            let took = actor.join().map_err(|_| "what disturbs panicked")??;
            let measured = measured?;
            took.iter().for_each(|took| each.push(took.as_secs_f64() * 1e3));
            let way = usize::from(disturbed);
            let per_request = |ns: u64| ns as f64 / 1e3 / measured.answered as f64;
            worker[way].push(per_request(after.worker - before.worker));
            waited[way].push(per_request(after.worker_waited - before.worker_waited));
            for (series, (quantile, _)) in latencies[way].iter_mut().zip(QUANTILES) {
                series.push(measured.latency_us(quantile));
            }
        }
        for (i, ratio) in ratios.iter_mut().enumerate() {
            ratio.push(latencies[1][i].last() / latencies[0][i].last());
        }
    }
    header();
    for (i, (_, name)) in QUANTILES.into_iter().enumerate() {
        latencies[0][i].print(&format!("{name} at rest, µs"));
        latencies[1][i].print(&format!("{name} with {what} every {} ms, µs", interval.as_millis()));
        ratios[i].print(&format!("{name}, with over without"));
    }
    for (at, when) in ["at rest".to_owned(), format!("with {what} over and over")].into_iter().enumerate() {
        worker[at].print(&format!("serving thread {when}, µs per request"));
        waited[at].print(&format!("serving thread without a processor {when}, µs per request"));
    }
    each.print(&format!("{what} until it is in force, ms"));
    Ok(())
}

/// How long each took.
fn over_and_over(
    admin: SocketAddr,
    first: usize,
    interval: Duration,
    act: &Act,
    stop: &AtomicBool,
) -> io::Result<Vec<Duration>> {
    let mut took = Vec::new();
    let mut stream = TcpStream::connect(admin)?;
    stream.set_nodelay(true)?;
    for number in first.. {
        let started = Instant::now();
        if stop.load(Ordering::Relaxed) {
            break;
        }
        act(&mut stream, number)?;
        took.push(started.elapsed());
        thread::sleep(interval.saturating_sub(started.elapsed()));
    }
    Ok(took)
}

/// Asks the admin listener; the whole answer, which must be 200.
pub fn call(stream: &mut TcpStream, what: &str, body: &str) -> io::Result<String> {
    let length = body.len();
    let head = format!("{what} HTTP/1.1\r\nhost: admin\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    // The longest answer are the metrics.
    let (mut answer, mut filled) = (vec![0; 256 << 10], 0);
    loop {
        let read = stream.read(&mut answer[filled..])?;
        filled += read;
        let text = String::from_utf8_lossy(&answer[..filled]);
        match text.split_once("\r\n\r\n") {
            Some((head, _)) if !head.starts_with("HTTP/1.1 200") => return Err(io::Error::other(text.into_owned())),
            Some((head, rest)) => {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if length.is_some_and(|length: usize| rest.len() >= length) {
                    return Ok(text.into_owned());
                }
            }
            None if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}
