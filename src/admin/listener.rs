//! The admin listener's own thread and runtime.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};

use super::api::{Admin, answer};
use super::edit;
use crate::ledger::marks::Marks;

/// Open connections; more wait. Operators and scrapers are few.
const MAX_CONNECTIONS: usize = 256;
/// Between two looks at what other nodes edited.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Listener {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Listener {
    pub fn start(admin: Arc<Admin>, listener: TcpListener) -> std::io::Result<Listener> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(serve(admin, listener, stopped));
        let thread = std::thread::Builder::new().name("admin".into()).spawn(run)?;
        Ok(Listener { thread, stop })
    }

    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the admin listener had panicked");
        }
    }
}

/// Puts in force what other nodes edit, a few hundred milliseconds later.
async fn follow(admin: Arc<Admin>, edited: Arc<Marks>) {
    let mut campaigns = Vec::new();
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        edited.take(usize::MAX, &mut campaigns);
        for campaign in campaigns.drain(..) {
            edit::follow(&admin.campaigns, campaign).await;
        }
    }
}

async fn serve(admin: Arc<Admin>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener cannot listen"),
    };
    if let Some(edited) = admin.edited.clone() {
        tokio::spawn(follow(admin.clone(), edited));
    }
    let open = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = tokio::select! {
            permit = open.clone().acquire_owned() => permit,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let admin = admin.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(answer(admin, request).await) }
            });
            // How a connection ends is the client's affair.
            let _ended = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
