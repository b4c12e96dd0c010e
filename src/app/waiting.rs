//! While a start waits for Kafka: whoever asks is told that gavel is not ready, on the sockets that it will serve.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a client may take for the head of his request; the next one waits for him.
const PATIENCE: Duration = Duration::from_millis(200);
const MAX_HEAD_BYTES: usize = 8 << 10;
const PAUSE: Duration = Duration::from_millis(10);

pub struct Waiting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Waiting {
    /// Answers on sockets that do not block.
    pub fn start<'a>(sockets: impl IntoIterator<Item = &'a TcpListener>) -> std::io::Result<Waiting> {
        let sockets = sockets.into_iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("not-ready".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let clients: Vec<TcpStream> =
                    sockets.iter().filter_map(|socket| socket.accept().ok()).map(|(client, _)| client).collect();
                if clients.is_empty() {
                    std::thread::sleep(PAUSE);
                }
                // A client that has gone away needs no answer.
                clients.into_iter().for_each(|client| drop(answer(client)));
            }
        })?;
        Ok(Waiting { stop, thread })
    }

    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        // Nothing in there panics, and a start does not depend on it.
        drop(self.thread.join());
    }
}

fn answer(mut client: TcpStream) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let (mut head, asked) = (Vec::new(), Instant::now());
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES && asked.elapsed() < PATIENCE {
        match client.read(&mut part)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&part[..read]),
        }
    }
    client.write_all(response(&head))
}

/// No bid is an answer, anything else is for later.
fn response(head: &[u8]) -> &'static [u8] {
    if head.starts_with(b"POST /openrtb2/") {
        b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
    } else if head.starts_with(b"GET /live ") {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    } else {
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 1\r\ncontent-length: 10\r\n\
          connection: close\r\n\r\nnot ready\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_while_a_start_waits_is_told_so() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let waiting = Waiting::start([&socket]).unwrap();
        let ask = |request: &str| {
            let mut client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            // What is left of a request that nobody reads may end the connection by force, after its answer.
            let _end = client.read_to_string(&mut answer);
            answer
        };
        let not_ready = ask("GET /ready HTTP/1.1\r\n\r\n");
        assert!(not_ready.starts_with("HTTP/1.1 503 ") && not_ready.ends_with("\r\n\r\nnot ready\n"), "{not_ready}");
        assert!(ask("POST /openrtb2/demo HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").starts_with("HTTP/1.1 204 "));
        assert!(ask("GET /n/bill/x HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503 "));
        assert!(ask("GET /live HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        drop(TcpStream::connect(socket.local_addr().unwrap()));
        waiting.end();
    }
}
