//! Bodies of answers. What a client does not read stays with us: so long ones are handed over in pieces, and those of bid
//! requests are counted until they are.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::connection::Connection;
use crate::bidding::MAX_RESPONSE_BYTES;

/// What hyper is handed at once, and holds for each connection or stream that is not read.
pub const PIECE_BYTES: usize = 16 << 10;
/// Of longest answers: above it a connection gets no more bids, or any on its worker.
const UNREAD_BY_ONE: usize = 1;
const UNREAD_BY_ALL: usize = 16;

#[derive(Default)]
pub struct Payload {
    rest: Bytes,
    _held: Option<Held>,
}

impl<B: Into<Bytes>> From<B> for Payload {
    fn from(bytes: B) -> Payload {
        Payload { rest: bytes.into(), _held: None }
    }
}

impl Payload {
    /// Counts until it is sent, or given up.
    pub fn counted(body: Vec<u8>, connection: &Rc<Connection>) -> Payload {
        let held = Held { bytes: body.len(), connection: connection.clone() };
        connection.unsent_bytes.set(connection.unsent_bytes.get() + held.bytes);
        connection.worker.unsent_bytes.set(connection.worker.unsent_bytes.get() + held.bytes);
        Payload { rest: body.into(), _held: Some(held) }
    }
}

/// Whether so much is unread that nothing is added to it.
pub fn is_too_much(connection: &Connection) -> bool {
    let (mine, all) = (connection.unsent_bytes.get(), connection.worker.unsent_bytes.get());
    mine > UNREAD_BY_ONE * MAX_RESPONSE_BYTES || all > UNREAD_BY_ALL * MAX_RESPONSE_BYTES
}

struct Held {
    bytes: usize,
    connection: Rc<Connection>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (mine, all) = (&self.connection.unsent_bytes, &self.connection.worker.unsent_bytes);
        mine.set(mine.get() - self.bytes);
        all.set(all.get() - self.bytes);
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match self.rest.len() {
            // A copy: a part of it would keep all of it.
            PIECE_BYTES.. => Bytes::copy_from_slice(&self.rest.split_to(PIECE_BYTES)),
            _ => std::mem::take(&mut self.rest),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
