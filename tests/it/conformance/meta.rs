//! The suite is checked too: every line must notice a server that answers 204 to everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::LINES;
use super::target::Target;

/// Lines that hold on such a server, each with the reason why that cannot be helped. None does: each one has a bid in it.
const EXEMPT: &[(u8, &str)] = &[];

pub struct Stub {
    pub address: SocketAddr,
}

impl Stub {
    /// Serves until the process ends.
    pub fn start() -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        });
        Stub { address }
    }
}

/// Answers until the client leaves.
fn serve(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length:").map_or(length, |l| l.trim().parse().unwrap_or(0));
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}

#[test]
fn no_line_holds_on_a_server_that_answers_204_to_everything() {
    let mut wrong = Vec::new();
    for line in LINES {
        let target = Target::stub(Stub::start());
        let exempt = EXEMPT.iter().any(|(number, _)| *number == line.number);
        // A check says why it does not hold; it does not fall over.
        match catch_unwind(AssertUnwindSafe(|| (line.check)(&target))) {
            Ok(held) if held.is_ok() == exempt => {}
            Ok(_) => wrong.push(format!("line {:02}: exempt is {exempt}", line.number)),
            Err(_) => wrong.push(format!("line {:02} panics", line.number)),
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_table_has_every_line_once() {
    let numbers: Vec<u8> = LINES.iter().map(|line| line.number).collect();
    assert_eq!(numbers, (1..=51).collect::<Vec<u8>>());
    for line in LINES {
        assert!(line.name.starts_with(&format!("line_{:02}_", line.number)), "{}", line.name);
    }
}

#[test]
fn the_readme_has_the_table() {
    let rows = LINES.iter().map(|line| format!("| {} | {} | holds |\n", line.number, line.what)).collect::<String>();
    let wanted = format!("| line | what | result |\n|---|---|---|\n{rows}\n");
    assert!(include_str!("../../../README.md").contains(&wanted), "the README's table should be\n{wanted}");
}
