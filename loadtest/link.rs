//! One keep-alive HTTP/1.1 connection, made again when it is lost. One request at a time.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;

/// Largest answer read: a bid response is a few KB, the books of 100,000 campaigns some MB.
const BODY_LIMIT: usize = 256 << 20;

type Driver = Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

pub struct Link {
    addr: SocketAddr,
    open: Option<(SendRequest<Full<Bytes>>, Option<Driver>)>,
    pub connects: u64,
}

#[derive(Debug)]
pub enum CallError {
    /// No byte of the request reached the server.
    NotSent(String),
    /// It may have reached the server, but no whole answer came.
    Broken(String),
    Timeout,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::NotSent(error) => write!(f, "cannot connect: {error}"),
            CallError::Broken(error) => write!(f, "the connection broke: {error}"),
            CallError::Timeout => write!(f, "no answer in time"),
        }
    }
}

impl Link {
    pub fn new(addr: SocketAddr) -> Link {
        Link { addr, open: None, connects: 0 }
    }

    /// Sends a request and reads the whole answer.
    pub async fn call(
        &mut self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        self.call_whole(request, timeout).await.map(|(status, _, body)| (status, body))
    }

    /// The same, with the answer's headers.
    pub async fn call_whole(
        &mut self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), CallError> {
        let result = match tokio::time::timeout(timeout, self.call_unbounded(request)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout),
        };
        if result.is_err() {
            // An answer may still be under way on it.
            self.open = None;
        }
        result
    }

    async fn call_unbounded(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), CallError> {
        // A kept connection may have been closed by the server meanwhile: then the request was not sent, and one
        // fresh connection is tried.
        for fresh in [false, true] {
            if self.open.is_none() || fresh {
                self.open = Some(self.connect().await?);
            }
            let Some((sender, driver)) = self.open.as_mut() else { break };
            if drive(driver, sender.ready()).await.is_err() {
                self.open = None;
                continue;
            }
            match drive(driver, sender.try_send_request(request)).await {
                Ok(response) => return read_answer(driver, response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => return Err(CallError::NotSent(error.into_error().to_string())),
                    None => return Err(CallError::Broken(error.into_error().to_string())),
                },
            }
        }
        Err(CallError::NotSent("the server closes new connections".to_owned()))
    }

    async fn connect(&mut self) -> Result<(SendRequest<Full<Bytes>>, Option<Driver>), CallError> {
        let not_sent = |error: &dyn std::fmt::Display| CallError::NotSent(error.to_string());
        let stream = TcpStream::connect(self.addr).await.map_err(|error| not_sent(&error))?;
        stream.set_nodelay(true).map_err(|error| not_sent(&error))?;
        let (sender, connection) =
            Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| not_sent(&error))?;
        self.connects += 1;
        Ok((sender, Some(Box::pin(connection))))
    }

    /// Waits for `event` while the idle connection is watched, so that a close by the server is seen at once.
    pub async fn idle<F: Future>(&mut self, event: F) -> F::Output {
        let mut event = pin!(event);
        poll_fn(|cx| {
            if let Poll::Ready(output) = event.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if let Some((_, Some(driver))) = &mut self.open
                && driver.as_mut().poll(cx).is_ready()
            {
                self.open = None;
            }
            Poll::Pending
        })
        .await
    }
}

/// Polls the connection in the same task as what waits on it: cheaper than a task of its own, which would be woken
/// for every request and wake this one for every answer.
async fn drive<F: Future>(driver: &mut Option<Driver>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        match driver {
            Some(connection) => {
                if connection.as_mut().poll(cx).is_ready() {
                    *driver = None;
                }
                future.as_mut().poll(cx)
            }
            None => Poll::Pending,
        }
    })
    .await
}

async fn read_answer(
    driver: &mut Option<Driver>,
    response: hyper::Response<hyper::body::Incoming>,
) -> Result<(StatusCode, HeaderMap, Bytes), CallError> {
    let (head, mut body) = response.into_parts();
    let (mut first, mut rest) = (Bytes::new(), Vec::new());
    while !body.is_end_stream() {
        let Some(frame) = drive(driver, body.frame()).await else { break };
        let frame = frame.map_err(|error| CallError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && rest.is_empty() {
            // Most answers are one piece, which is not copied.
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        if rest.len() + data.len() > BODY_LIMIT {
            return Err(CallError::Broken("the answer is too long".to_owned()));
        }
        rest.extend_from_slice(&data);
    }
    Ok((head.status, head.headers, if rest.is_empty() { first } else { rest.into() }))
}
