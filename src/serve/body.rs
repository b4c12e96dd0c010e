//! Reading a request's body within its bounds.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, StatusCode, header};

use super::traffic::Limits;

/// Reads the whole body: 413 above the bound, 408 when it comes too slowly, 400 when the connection breaks off.
pub async fn read(headers: &HeaderMap, mut body: Incoming, limits: &Limits) -> Result<Bytes, StatusCode> {
    if encoded(headers) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if body.size_hint().lower() > limits.max_body_bytes as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    // Almost always the whole body has come with the head: then there is nothing to copy and no timer to set.
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    let mut whole = BytesMut::new();
    match first {
        Poll::Ready(None) => return Ok(Bytes::new()),
        Poll::Ready(Some(frame)) => {
            let data = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data().unwrap_or_default();
            if body.is_end_stream() && data.len() <= limits.max_body_bytes {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        }
        Poll::Pending => {}
    }
    let rest = async {
        loop {
            if whole.len() > limits.max_body_bytes {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => return Ok(whole.freeze()),
                Some(Err(_)) => return Err(StatusCode::BAD_REQUEST),
                Some(Ok(frame)) => whole.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(limits.body_timeout_ms), rest)
        .await
        .unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
}

/// Reads a body that nobody wants, as far as the bounds of one that somebody wants.
pub async fn discard(mut body: Incoming, limits: &Limits) {
    if body.is_end_stream() || body.size_hint().lower() > limits.max_body_bytes as u64 {
        return;
    }
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > limits.max_body_bytes {
                return;
            }
        }
    };
    // Too much or too slow: the connection ends with the answer.
    let _in_time = tokio::time::timeout(Duration::from_millis(limits.body_timeout_ms), all).await;
}

/// Whether the body is in an encoding other than `identity`.
fn encoded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity"))
}
