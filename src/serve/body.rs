//! Reading a request's body within its bounds.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, header};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::traffic::{Limits, Worker};

/// Largest bodies that a worker collects at once; beyond it there are no bids. A body that comes with its head, as
/// almost all do, is not collected.
const COLLECTED: usize = 64;
/// What is read of a body that nobody wants, in largest bodies: who sends 10 MiB at once still reads that it is too much.
const UNWANTED: usize = 16;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    TooLarge,
    TooSlow,
    BrokenOff,
    Overload,
}

/// Reads the whole body. One that is left unread does not cost the client its connection, unless it is very long.
pub async fn read(worker: &Rc<Worker>, headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Unread> {
    let most_bytes = worker.traffic.limits.max_body_bytes;
    if body.size_hint().lower() > most_bytes as u64 {
        leave(worker, headers, body);
        return Err(Unread::TooLarge);
    }
    // Almost always the whole body has come with the head: then there is nothing to copy and no timer to set.
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
        Poll::Ready(None) => Ok(Bytes::new()),
        Poll::Ready(Some(Err(_))) => Err(Unread::BrokenOff),
        Poll::Ready(Some(Ok(frame))) => {
            let data = frame.into_data().unwrap_or_default();
            if body.is_end_stream() && data.len() <= most_bytes {
                return Ok(data);
            }
            Box::pin(collect(worker, headers, data, body)).await
        }
        Poll::Pending => Box::pin(collect(worker, headers, Bytes::new(), body)).await,
    }
}

/// Puts together a body that comes in pieces.
async fn collect(
    worker: &Rc<Worker>,
    headers: &HeaderMap,
    mut piece: Bytes,
    mut body: Incoming,
) -> Result<Bytes, Unread> {
    let limits = &worker.traffic.limits;
    let all = async {
        let mut held = Held { all: &worker.collected_bytes, mine: 0 };
        let mut whole = BytesMut::new();
        loop {
            if whole.len() + piece.len() > limits.max_body_bytes {
                return Err(Unread::TooLarge);
            }
            if !held.may_add(piece.len(), COLLECTED * limits.max_body_bytes) {
                return Err(Unread::Overload);
            }
            whole.extend_from_slice(&piece);
            piece = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => return Ok(whole.freeze()),
                Some(Err(_)) => return Err(Unread::BrokenOff),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
        }
    };
    let read = timeout(Duration::from_millis(limits.body_timeout_ms), all).await.unwrap_or(Err(Unread::TooSlow));
    if matches!(read, Err(Unread::TooLarge | Unread::Overload)) {
        leave(worker, headers, body);
    }
    read
}

/// A part of what a worker has collected.
struct Held<'w> {
    all: &'w Cell<usize>,
    mine: usize,
}

impl Held<'_> {
    fn may_add(&mut self, bytes: usize, most: usize) -> bool {
        let all = self.all.get() + bytes;
        if all > most {
            return false;
        }
        self.all.set(all);
        self.mine += bytes;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.mine);
    }
}

/// Reads a body that is not wanted while it is answered.
pub fn leave(worker: &Rc<Worker>, headers: &HeaderMap, body: Incoming) {
    // Who waits for `100 Continue` hears the answer instead, and need not send it at all.
    if !body.is_end_stream() && !headers.contains_key(header::EXPECT) {
        let worker = worker.clone();
        spawn_local(async move { discard(body, &worker.traffic.limits).await });
    }
}

/// Reads a body that is not wanted. Left unread it would cost the client its connection.
pub async fn discard(mut body: Incoming, limits: &Limits) {
    let most_bytes = UNWANTED * limits.max_body_bytes;
    if body.is_end_stream() || body.size_hint().lower() > most_bytes as u64 {
        return;
    }
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > most_bytes {
                return;
            }
        }
    };
    // Too much or too slow: the connection ends with the answer.
    let _in_time = timeout(Duration::from_millis(limits.body_timeout_ms), all).await;
}
