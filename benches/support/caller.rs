//! One connection to a server, with one bid request at a time.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::requests::request;

/// A server that takes longer than this ends the run.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Caller(TcpStream);

impl Caller {
    pub fn connect(server: SocketAddr) -> Result<Caller, Box<dyn Error>> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Caller(stream))
    }

    /// Sends request number `i` and reads the answer to its end. Bytes of its body: 0 where there is no bid.
    pub fn ask(&mut self, i: usize) -> Result<usize, Box<dyn Error>> {
        let body = request(i);
        let head = format!(
            "POST /openrtb2/demo HTTP/1.1\r\nhost: bidder.example\r\ncontent-type: application/json\r\n\
             x-openrtb-version: 2.6\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all((head + &body).as_bytes())?;
        let (mut buffer, mut filled) = ([0; 16 << 10], 0);
        loop {
            let read = self.0.read(&mut buffer[filled..])?;
            filled += read;
            let text = std::str::from_utf8(&buffer[..filled])?;
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                if !head.starts_with("HTTP/1.1 200") && !head.starts_with("HTTP/1.1 204") {
                    return Err(format!("unexpected answer: {text}").into());
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(Ok(0), str::parse)?;
                if body.len() == length {
                    return Ok(length);
                }
            }
            if read == 0 {
                return Err(format!("the connection ended within an answer: {text}").into());
            }
        }
    }
}
