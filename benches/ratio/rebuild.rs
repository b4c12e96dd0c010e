//! Latency of bids while campaigns are re-targeted over and over, against latency while they are not. Where no campaign
//! may stay beside the catalog, each edit also has it built anew.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::servers::Server;
use crate::support::campaigns::{Mix, campaign};
use crate::table::{Series, header};
use crate::{Arguments, Error};

/// From the start of one edit to the next.
const INTERVAL: Duration = Duration::from_millis(200);
/// Requests per second where no rate was asked for: well below what one core answers.
const RATE: f64 = 10_000.0;
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// `what` is what each edit amounts to.
pub async fn compare(arguments: &Arguments, what: &str, gavel: &Server, client: &Client) -> Result<(), Error> {
    let mix = arguments.eligible.mix();
    let (rate, time) = (arguments.rate.unwrap_or(RATE), Duration::from_secs_f64(arguments.seconds));
    println!("\nat {rate:.0} requests per second, {} rounds of {} s each way", arguments.rounds, arguments.seconds);
    let mut latencies: [[Series; 3]; 2] = Default::default();
    let mut ratios: [Series; 3] = Default::default();
    let (mut edits, mut builds) = (Series::default(), Series::default());
    let mut worker = [Series::default(), Series::default()];
    for round in 0..arguments.rounds {
        // Each goes first every other time.
        for editing in [round % 2 == 1, round % 2 == 0] {
            let stop = Arc::new(AtomicBool::new(!editing));
            let editor = {
                let (admin, first, of, stop) = (gavel.admin, round * 1_000, arguments.campaigns, stop.clone());
                thread::spawn(move || edit(admin, first, of, mix, &stop))
            };
            let before = gavel.cpu()?;
            let measured = client.at_rate(rate, time).await;
            let used = gavel.cpu()?.worker - before.worker;
            stop.store(true, Ordering::Relaxed);
            let edited = editor.join().map_err(|_| "the editor panicked")??;
            let measured = measured?;
            edited.iter().for_each(|took| edits.push(took.as_secs_f64() * 1e3));
            if editing {
                builds.push(last_build_us(gavel.admin)? / 1e3);
            }
            let way = usize::from(editing);
            worker[way].push(used as f64 / 1e3 / measured.answered as f64);
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
        latencies[1][i].print(&format!("{name} with {what} every {} ms, µs", INTERVAL.as_millis()));
        ratios[i].print(&format!("{name}, with over without"));
    }
    worker[0].print("serving thread at rest, µs per request");
    worker[1].print("serving thread with edits, µs per request");
    edits.print("an edit until it is in force, ms");
    builds.print("the last full build, ms");
    Ok(())
}

/// Puts one campaign after the other with a changed targeting; how long each took.
fn edit(admin: SocketAddr, first: usize, of: usize, mix: Mix, stop: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut took = Vec::new();
    let mut stream = TcpStream::connect(admin)?;
    stream.set_nodelay(true)?;
    for edit in first.. {
        let started = Instant::now();
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut campaign = campaign(edit % of, mix);
        campaign["targeting"]["regions"] = json!({"exclude": [format!("X{}", edit % 89 + 10)]});
        put(&mut stream, &campaign.to_string(), edit % of)?;
        took.push(started.elapsed());
        thread::sleep(INTERVAL.saturating_sub(started.elapsed()));
    }
    Ok(took)
}

fn put(stream: &mut TcpStream, body: &str, campaign: usize) -> io::Result<()> {
    call(stream, &format!("PUT /v1/campaigns/c-{campaign}"), body).map(drop)
}

fn last_build_us(admin: SocketAddr) -> io::Result<f64> {
    let metrics = call(&mut TcpStream::connect(admin)?, "GET /metrics", "")?;
    let value = metrics.lines().find_map(|line| line.strip_prefix("gavel_catalog_build_microseconds ")?.parse().ok());
    value.ok_or_else(|| io::Error::other("no gavel_catalog_build_microseconds"))
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
