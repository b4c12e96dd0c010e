//! Clients that are in no hurry: they send a byte every so often, or send and do not read.

use super::meanwhile::Done;
use crate::requests::Requests;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Before a connection that was closed is made again.
const AGAIN: Duration = Duration::from_millis(200);
/// Requests that one who does not read sends at a time.
const AT_ONCE: u64 = 10;
/// Little room on this side, so that it is the server that has to hold what is not read.
const UNREAD_BYTES: u32 = 4096;

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub connections: u64,
    pub refused: u64,
    pub closed_by_server: u64,
    pub bytes_sent: u64,
}

pub struct Client {
    pub requests: Rc<Requests>,
    /// The number of its first request.
    pub first: u64,
    pub addr: SocketAddr,
    /// The head of a request without its length.
    pub head: String,
    pub every: Duration,
    pub counts: Arc<Mutex<Done>>,
}

impl Client {
    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner).slow);
    }

    async fn connect(&self) -> Option<TcpStream> {
        let socket = if self.addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let connect = async {
            let socket = socket?;
            socket.set_recv_buffer_size(UNREAD_BYTES)?;
            socket.connect(self.addr).await
        };
        let connected = connect.await.ok();
        self.count(|counts| match connected {
            Some(_) => counts.connections += 1,
            None => counts.refused += 1,
        });
        connected
    }

    fn request(&self, number: u64) -> (Vec<u8>, usize) {
        let (body, _) = self.requests.make(self.first + number);
        let mut request = format!("{}Content-Length: {}\r\n\r\n", self.head, body.len()).into_bytes();
        let head = request.len();
        request.extend_from_slice(&body);
        (request, head)
    }

    /// Sends byte by byte: from the first of the head, or from the first of the body.
    pub async fn send_bytes(self, head_too: bool) {
        for number in 0.. {
            let Some(mut stream) = self.connect().await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let (request, head) = self.request(number);
            let at_once = if head_too { 0 } else { head };
            let mut open = stream.write_all(&request[..at_once]).await.is_ok();
            for byte in &request[at_once..] {
                if !open {
                    break;
                }
                tokio::time::sleep(self.every).await;
                open = stream.write_all(&[*byte]).await.is_ok() && !is_closed(&stream);
                self.count(|counts| counts.bytes_sent += 1);
            }
            if !open {
                self.count(|counts| counts.closed_by_server += 1);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Sends requests and reads none of the answers.
    pub async fn read_nothing(self) {
        let mut number = 0;
        loop {
            let Some(mut stream) = self.connect().await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            loop {
                tokio::time::sleep(self.every).await;
                let mut requests = Vec::new();
                for _ in 0..AT_ONCE {
                    requests.extend_from_slice(&self.request(number).0);
                    number += 1;
                }
                if stream.write_all(&requests).await.is_err() {
                    break;
                }
                self.count(|counts| counts.bytes_sent += requests.len() as u64);
            }
            self.count(|counts| counts.closed_by_server += 1);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether the server has closed it: what it sent before that is thrown away.
fn is_closed(stream: &TcpStream) -> bool {
    let mut thrown_away = [0; 1024];
    loop {
        match stream.try_read(&mut thrown_away) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
