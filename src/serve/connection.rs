//! One connection, from its first byte to its end: TLS, the version, its requests, and how long it may do nothing.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use super::handshake::Handshakes;
use super::routes;
use super::stream::{Stream, Version};
use super::traffic::{Limits, Worker};
use super::unsent::PIECE_BYTES;

/// Room for the request line, which counts towards hyper's bound on the head. That bound is only about right, since
/// hyper parses whatever one read brings; the exact one is the router's.
const REQUEST_LINE_BYTES: usize = 2_048;
/// The least that a header takes (`a:` and its line end, one byte of value): as many as that may come.
const LEAST_FIELD_BYTES: usize = 5;
/// Most headers of an HTTP/1 request: hyper makes room for as many at each.
const HTTP1_FIELDS: usize = 256;
/// What HTTP/2 counts for a header besides its name and value (RFC 9113 section 6.5.2).
const HTTP2_FIELD_BYTES: usize = 32;
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 256;
/// Requests that the client took back before they were looked at; above it the connection ends. Not fewer than may be
/// open: an exchange takes back all that are late.
const HTTP2_RESETS: usize = HTTP2_STREAMS as usize;
/// A peer that is silent for this long is asked whether it is there, and has the other time to say so.
const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// How often, in its idle timeout, it is looked whether a connection did something.
const LOOKS: u32 = 4;
/// For a connection that did nothing to take its leave.
const LEAVE: Duration = Duration::from_secs(1);

/// How a worker speaks with its clients.
pub struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
    handshakes: Option<Handshakes>,
    idle: Duration,
}

impl Protocols {
    pub fn new(limits: &Limits, tls: Option<TlsAcceptor>) -> Protocols {
        let mut http1 = http1::Builder::new();
        // Without pipeline_flush: with it hyper never sends the 400 or 431 of a head that it could not parse. Answers
        // are small: copying one behind its head is cheaper than a vectored write. Slow heads end with the idle
        // connections, which costs no timer for each request.
        http1.writev(false).header_read_timeout(None).max_buf_size(limits.max_header_bytes + REQUEST_LINE_BYTES);
        let fields = limits.max_header_bytes / LEAST_FIELD_BYTES;
        // Who sends no more may still read.
        http1.max_headers(HTTP1_FIELDS).half_close(true);
        let mut http2 = http2::Builder::new(LocalExecutor);
        let list_bytes = limits.max_header_bytes + REQUEST_LINE_BYTES + HTTP2_FIELD_BYTES * fields;
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(list_bytes as u32)
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_send_buf_size(2 * PIECE_BYTES)
            .max_pending_accept_reset_streams(HTTP2_RESETS)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PONG_WITHIN);
        let idle = Duration::from_millis(limits.idle_timeout_ms);
        Protocols { http1, http2, handshakes: tls.map(Handshakes::new), idle }
    }
}

/// What the requests of one connection share.
pub struct Connection {
    pub worker: Rc<Worker>,
    /// It came when there were as many as there may be.
    crowded: bool,
    /// Bytes of its answers that have not been handed over for sending.
    pub unsent_bytes: Cell<usize>,
    /// Requests that are being answered.
    open: Cell<u32>,
    /// Requests that have been answered, or given up.
    ended: Cell<u32>,
}

impl Connection {
    /// Counts as open until it is dropped, however that comes.
    pub fn new(worker: Rc<Worker>, crowded: bool) -> Rc<Connection> {
        worker.open.set(worker.open.get() + 1);
        worker.stats().connections_opened.add(1);
        Rc::new(Connection { worker, crowded, unsent_bytes: Cell::new(0), open: Cell::new(0), ended: Cell::new(0) })
    }

    /// Its requests get no bids, so that those of the others do.
    pub fn is_crowded(&self) -> bool {
        self.crowded && self.worker.open.get() > self.worker.traffic.limits.max_connections
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.open.set(self.worker.open.get() - 1);
        self.worker.stats().connections_closed.add(1);
    }
}

/// A request that is being answered. HTTP/2 may drop it at any point.
struct Open(Rc<Connection>);

impl Open {
    fn new(connection: Rc<Connection>) -> Open {
        connection.open.set(connection.open.get() + 1);
        Open(connection)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.ended.set(self.0.ended.get().wrapping_add(1));
    }
}

/// Serves a connection until it ends. How it ends is the client's affair.
pub async fn serve(
    connection: Rc<Connection>,
    protocols: Rc<Protocols>,
    stream: TcpStream,
    mut stopped: watch::Receiver<bool>,
) {
    // Without it small answers wait for the other side's acknowledgement; failing to set it only costs time.
    let _best_effort = stream.set_nodelay(true);
    let begun = tokio::select! {
        biased;
        begun = begin(&connection.worker, &protocols, stream) => begun,
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    let Some((stream, version)) = begun else { return };
    let service = {
        let connection = connection.clone();
        service_fn(move |request: Request<Incoming>| {
            let open = Open::new(connection.clone());
            // Taken apart here: what a future moves it has twice.
            let (head, body) = request.into_parts();
            async move { Ok::<_, Infallible>(routes::answer(&open.0, &head, body).await) }
        })
    };
    let io = TokioIo::new(stream);
    // What few connections need is in a box of its own: each has room for whatever stands here.
    match version {
        Version::Http1 => {
            let served = pin!(protocols.http1.serve_connection(io, service));
            drive(&connection, served, protocols.idle, stopped).await;
        }
        Version::Http2 => {
            let mut served = Box::pin(protocols.http2.serve_connection(io, service));
            drive(&connection, served.as_mut(), protocols.idle, stopped).await;
        }
    }
}

/// The stream once it is known what is spoken on it; none if that does not come in time.
async fn begin(worker: &Worker, protocols: &Protocols, stream: TcpStream) -> Option<(Stream, Version)> {
    let Some(handshakes) = &protocols.handshakes else {
        return timeout(protocols.idle, Stream::plain(stream)).await.ok()?.ok();
    };
    let stream = Box::pin(handshakes.accept(stream)).await;
    if stream.is_none() {
        worker.stats().handshakes_failed.add(1);
    }
    stream.map(Stream::tls)
}

/// Runs the protocol until the connection ends, is told to, or has done nothing for so long.
async fn drive<C: GracefulConnection>(
    connection: &Connection,
    mut served: Pin<&mut C>,
    idle: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut looks = interval(idle / LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    let (mut stopping, mut seen, mut quiet) = (false, 0, 0);
    while quiet < LOOKS {
        tokio::select! {
            biased;
            _ended = served.as_mut() => return,
            _ = stopped.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => {
                let nothing = connection.open.get() == 0 && connection.ended.get() == seen;
                quiet = if nothing { quiet + 1 } else { 0 };
                seen = connection.ended.get();
            }
        }
    }
    served.as_mut().graceful_shutdown();
    // Whoever does not read has had the time.
    let _in_time = timeout(LEAVE, served).await;
}

/// Runs hyper's own tasks on the worker's thread.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::request::Parts;

    use super::*;

    /// Bytes of what a function of these arguments gives back.
    fn size_of_serving<F>(
        _: impl FnOnce(Rc<Connection>, Rc<Protocols>, TcpStream, watch::Receiver<bool>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    fn size_of_answering<F>(_: impl FnOnce(&'static Rc<Connection>, &'static Parts, Incoming) -> F) -> usize {
        size_of::<F>()
    }

    /// hyper's two buffers are 16 KiB of the 20 KB that an idle connection may take (`benches/idle.rs`).
    #[test]
    fn a_connection_is_small() {
        let (serving, answering) = (size_of_serving(serve), size_of_answering(routes::answer));
        assert!(serving <= 1_280, "{serving}");
        assert!(answering <= 640, "{answering}");
    }
}
