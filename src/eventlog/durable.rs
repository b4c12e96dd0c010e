//! The promises that appended events are durable, or written.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::AppendError;
use crate::event::Offset;

/// Resolves once events are durable and applied. Dropping it does not take the events back.
#[derive(Debug)]
#[must_use = "events are not durable before this resolves"]
pub struct Durable(Inner);

#[derive(Debug)]
enum Inner {
    Known(Result<(), AppendError>),
    Waiting(oneshot::Receiver<Result<(), AppendError>>),
}

impl Durable {
    pub(super) fn known(result: Result<(), AppendError>) -> Durable {
        Durable(Inner::Known(result))
    }

    pub(super) fn waiting() -> (oneshot::Sender<Result<(), AppendError>>, Durable) {
        let (done, receiver) = oneshot::channel();
        (done, Durable(Inner::Waiting(receiver)))
    }

    /// Blocks until it resolves; for plain threads, never inside a runtime.
    pub fn wait(self) -> Result<(), AppendError> {
        match self.0 {
            Inner::Known(result) => result,
            Inner::Waiting(receiver) => receiver.blocking_recv().unwrap_or(Err(AppendError::Closed)),
        }
    }
}

impl Future for Durable {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Known(result) => Poll::Ready(result.clone()),
            // The sender goes without an answer only when the log was dropped.
            Inner::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|r| r.unwrap_or(Err(AppendError::Closed))),
        }
    }
}

/// Resolves to an event's offset once it is written: it outlives this process, but not yet the machine.
#[derive(Debug)]
#[must_use = "the event is not written before this resolves"]
pub struct Written(Result<oneshot::Receiver<Result<Offset, AppendError>>, AppendError>);

impl Written {
    pub(super) fn refused(why: AppendError) -> Written {
        Written(Err(why))
    }

    pub(super) fn waiting() -> (oneshot::Sender<Result<Offset, AppendError>>, Written) {
        let (done, receiver) = oneshot::channel();
        (done, Written(Ok(receiver)))
    }

    /// As [`Durable::wait`].
    pub fn wait(self) -> Result<Offset, AppendError> {
        self.0?.blocking_recv().unwrap_or(Err(AppendError::Closed))
    }
}

impl Future for Written {
    type Output = Result<Offset, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Err(why) => Poll::Ready(Err(why.clone())),
            // The sender goes without an answer only when the log was dropped.
            Ok(receiver) => Pin::new(receiver).poll(cx).map(|r| r.unwrap_or(Err(AppendError::Closed))),
        }
    }
}
