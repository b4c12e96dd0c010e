//! The worker threads: accept, serve, drain.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Connection, Protocols};
use super::listener::with_crowd;
use super::traffic::{Traffic, Worker};
use super::{cores, lag};

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// After a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl Workers {
    /// Starts one thread per listener. `seed` makes the tie-breaks of worker `i` start from `seed + i`.
    pub fn start(
        traffic: Arc<Traffic>,
        listeners: Vec<TcpListener>,
        tls: Option<TlsAcceptor>,
        seed: u64,
    ) -> std::io::Result<Workers> {
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::with_capacity(listeners.len());
        for (lane, listener) in listeners.into_iter().enumerate() {
            let (traffic, tls, stopped) = (traffic.clone(), tls.clone(), stopped.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let seed = seed.wrapping_add(lane as u64);
            let run = move || {
                if traffic.limits.pin_workers
                    && let Err(error) = cores::pin(lane)
                {
                    tracing::warn!(%error, "worker {lane} is not bound to a core");
                }
                let protocols = Rc::new(Protocols::new(&traffic.limits, tls));
                let worker = Rc::new(Worker::new(lane, seed, traffic));
                LocalSet::new().block_on(&runtime, serve(worker, protocols, listener, stopped));
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

async fn serve(
    worker: Rc<Worker>,
    protocols: Rc<Protocols>,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a worker cannot listen"),
    };
    let beat = spawn_local(lag::measure(worker.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => admit(&worker, &protocols, stream, &stopped),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    beat.abort();
    let grace = Duration::from_millis(worker.traffic.limits.shutdown_grace_ms);
    let drained = async {
        while worker.open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // What is still open after the grace ends with the thread.
    let _in_time = tokio::time::timeout(grace, drained).await;
}

/// Serves a connection in a task of its own, unless there are far too many.
fn admit(worker: &Rc<Worker>, protocols: &Rc<Protocols>, stream: TcpStream, stopped: &watch::Receiver<bool>) {
    let (open, most) = (worker.open.get(), worker.traffic.limits.max_connections);
    if open >= with_crowd(most) {
        return worker.stats().connections_refused.add(1);
    }
    let connection = Connection::new(worker.clone(), open >= most);
    spawn_local(connection::serve(connection, protocols.clone(), stream, stopped.clone()));
}
