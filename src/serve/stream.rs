//! The bytes of one connection, plain or TLS, and which HTTP is spoken on it.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What a client begins with that knows HTTP/2 to be spoken (RFC 9113 section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// One type for both, so that hyper is compiled once.
pub struct Stream {
    io: Io,
    /// What was read to tell the version.
    first: [u8; PREFACE.len()],
    /// What of it has not been passed on.
    left: Range<usize>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads as much of a plain connection as tells the version.
    pub async fn plain(mut stream: TcpStream) -> io::Result<(Stream, Version)> {
        let (mut first, mut read) = ([0; PREFACE.len()], 0);
        while read < first.len() && first[..read] == PREFACE[..read] {
            match stream.read(&mut first[read..]).await? {
                0 => break,
                more => read += more,
            }
        }
        let version = if first == PREFACE { Version::Http2 } else { Version::Http1 };
        Ok((Stream { io: Io::Plain(stream), first, left: 0..read }, version))
    }

    /// The version is what was agreed on by ALPN (RFC 7301); without it HTTP/1.1.
    pub fn tls(stream: TlsStream<TcpStream>) -> (Stream, Version) {
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        };
        (Stream { io: Io::Tls(Box::new(stream)), first: PREFACE, left: 0..0 }, version)
    }

    #[cold]
    fn pass_on(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let passed = self.left.start..self.left.end.min(self.left.start + out.remaining());
        out.put_slice(&self.first[passed.clone()]);
        self.left.start = passed.end;
        if !self.left.is_empty() || out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // What has come after it, if there is anything: then a request is read at once.
        match self.io.poll_read(cx, out) {
            Poll::Pending => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, out),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() { self.io.poll_read(cx, out) } else { self.pass_on(cx, out) }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
