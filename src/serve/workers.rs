//! The worker threads: accept, serve, drain.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::routes;
use super::traffic::{Traffic, Worker};

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// Room for the request line, which counts towards hyper's bound on the head. That bound is only about right, since
/// hyper parses whatever one read brings; the exact one is the router's.
const REQUEST_LINE_BYTES: usize = 2_048;
/// After a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl Workers {
    /// Starts one thread per listener. `seed` makes the tie-breaks of worker `i` start from `seed + i`.
    pub fn start(traffic: Arc<Traffic>, listeners: Vec<TcpListener>, seed: u64) -> std::io::Result<Workers> {
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::with_capacity(listeners.len());
        for (lane, listener) in listeners.into_iter().enumerate() {
            let (traffic, stopped) = (traffic.clone(), stopped.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let seed = seed.wrapping_add(lane as u64);
            let run = move || {
                let worker = Rc::new(Worker::new(lane, seed, traffic));
                LocalSet::new().block_on(&runtime, serve(worker, listener, stopped));
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{lane}")).spawn(run)?);
        }
        Ok(Workers { threads, stop })
    }

    /// Stops accepting, lets open requests finish within the grace, and returns when all threads have ended.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

async fn serve(worker: Rc<Worker>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a worker cannot listen"),
    };
    let open = Rc::new(Cell::new(0usize));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) if open.get() < worker.traffic.limits.max_connections => {
                open.set(open.get() + 1);
                worker.stats().connections_opened.add(1);
                tokio::task::spawn_local(connection(worker.clone(), stream, open.clone(), stopped.clone()));
            }
            Ok((stream, _)) => {
                worker.stats().connections_refused.add(1);
                drop(stream);
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    let grace = Duration::from_millis(worker.traffic.limits.shutdown_grace_ms);
    let drained = async {
        while open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // What is still open after the grace ends with the thread.
    let _in_time = tokio::time::timeout(grace, drained).await;
}

async fn connection(worker: Rc<Worker>, stream: TcpStream, open: Rc<Cell<usize>>, mut stopped: watch::Receiver<bool>) {
    // Without it small answers wait for the other side's acknowledgement; failing to set it only costs time.
    let _best_effort = stream.set_nodelay(true);
    let limits = worker.traffic.limits.clone();
    let service = {
        let worker = worker.clone();
        service_fn(move |request| {
            let worker = worker.clone();
            async move { Ok::<_, Infallible>(routes::answer(worker, request).await) }
        })
    };
    let mut builder = auto::Builder::new(LocalExecutor);
    // Without pipeline_flush: with it hyper never sends the 400 or 431 of a head that it could not parse. Answers are
    // small: copying one behind its head is cheaper than a vectored write.
    builder
        .http1()
        .timer(TokioTimer::new())
        .writev(false)
        .header_read_timeout(Duration::from_millis(limits.idle_timeout_ms))
        .max_buf_size(limits.max_header_bytes + REQUEST_LINE_BYTES);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(limits.max_header_bytes as u32);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    // How a connection ends is the client's affair: broken ones are only counted as closed.
    let _ended = tokio::select! {
        ended = served.as_mut() => ended,
        _ = stopped.wait_for(|stop| *stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    worker.stats().connections_closed.add(1);
    open.set(open.get() - 1);
}

/// Runs hyper's own tasks on the worker's thread.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
