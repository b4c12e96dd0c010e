//! What other servers need for a constant answer: the least that there is, epoll and nothing else, and Go's.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{io, thread};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::Error;
use crate::client::find;
use crate::servers::{WORKER, until_the_parent_ends};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    filled: usize,
    buffer: Box<[u8]>,
}

/// One thread that waits, reads until a request is whole, and writes the same bytes each time. It reads no more of HTTP than
/// where a request ends.
pub fn epoll(body_bytes: usize) -> Result<(), Error> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let address = listener.local_addr()?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-openrtb-version: 2.6\r\ncontent-length: {body_bytes}\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
    );
    let answer = [head.into_bytes(), vec![b'x'; body_bytes]].concat();
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let run = move || -> io::Result<()> {
        let (mut events, mut connections) = (Events::with_capacity(256), Vec::<Connection>::new());
        loop {
            poll.poll(&mut events, None)?;
            for event in &events {
                if event.token() == LISTENER {
                    accept(&listener, &poll, &mut connections)?;
                } else if let Some(connection) = connections.get_mut(event.token().0) {
                    serve(connection, &answer)?;
                }
            }
        }
    };
    thread::Builder::new().name(WORKER.to_owned()).spawn(run)?;
    until_the_parent_ends(address, address);
    Ok(())
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Vec<Connection>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(connections.len()), Interest::READABLE)?;
                connections.push(Connection { stream, filled: 0, buffer: vec![0; 32 << 10].into() });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The client has one request under way at a time, and takes each answer whole.
fn serve(connection: &mut Connection, answer: &[u8]) -> io::Result<()> {
    loop {
        match connection.stream.read(&mut connection.buffer[connection.filled..]) {
            Ok(0) => return Ok(()),
            Ok(read) => connection.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if is_whole(&connection.buffer[..connection.filled]) {
            connection.filled = 0;
            connection.stream.write_all(answer)?;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(end) = find(request, b"\r\n\r\n") else { return false };
    let length = find(&request[..end], LENGTH).map_or(0, |at| {
        let digits = request[at + LENGTH.len()..end].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
    });
    request.len() >= end + 4 + length
}

/// Builds Go's server, where there is a Go compiler.
pub fn build_go(into: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ratio/go");
    let program = into.join("constant");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(".").current_dir(source);
    let built = go.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    built.then_some(program)
}
