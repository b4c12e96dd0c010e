//! How long connections live, how many there may be, and what does not end them.

use std::time::{Duration, Instant};

use crate::caller::Caller;
use crate::http::{Client, request as http_request};
use crate::make::{campaign, patient};
use crate::server::{Server, wait_until};

const IDLE: Duration = Duration::from_millis(400);

fn impatient() -> Server {
    Server::start("[limits]\nworkers = 1\nidle_timeout_s = 0.4\n", &[campaign("a")])
}

#[test]
fn connections_that_do_nothing_are_closed_and_not_before() {
    let server = impatient();
    let bid = http_request("POST", "/openrtb2/demo", &[], patient().to_string().as_bytes());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (what, first) in [
        ("silent", &b""[..]),
        ("half a head", b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\n"),
        ("half a preface", &preface[..7]),
        ("a preface", preface),
        ("a whole request", &bid),
    ] {
        let since = Instant::now();
        let mut client = server.connect();
        client.send(first);
        if what == "a whole request" {
            assert_eq!(client.answer().status, 200);
        }
        client.wait_ended();
        let lived = since.elapsed();
        assert!(lived >= IDLE, "{what}: {lived:?}");
    }
    let since = Instant::now();
    let mut caller = Caller::http2(server.traffic());
    assert_eq!(caller.post("/openrtb2/demo", &[], patient().to_string().as_bytes()).status, 200);
    caller.wait_closed();
    assert!(since.elapsed() >= IDLE);
    wait_until("all are closed", || {
        server.metric("gavel_connections_closed_total") == server.metric("gavel_connections_opened_total")
    });
}

#[test]
fn who_sends_no_more_still_gets_answers() {
    let server = impatient();
    let bid = http_request("POST", "/openrtb2/demo", &[], patient().to_string().as_bytes());
    let mut client = server.connect();
    client.send(&bid.repeat(3));
    client.finish_sending();
    for _ in 0..3 {
        assert_eq!(client.answer().status, 200);
    }
    client.wait_ended();
    // Half a request is none, and the connection ends all the same.
    for sent in [&b""[..], b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\n", &bid[..bid.len() - 1]] {
        let mut client = server.connect();
        client.send(sent);
        client.finish_sending();
        if let Ok(answer) = client.try_answer(true) {
            assert_eq!(answer.status, 400);
        }
    }
    wait_until("all are closed", || {
        server.metric("gavel_connections_closed_total") == server.metric("gavel_connections_opened_total")
    });
}

#[test]
fn a_slow_body_is_no_idle_connection() {
    let server = impatient();
    let mut client = server.connect();
    let body = patient().to_string();
    let head = format!("POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head.as_bytes());
    for piece in body.as_bytes().chunks(body.len() / 4) {
        std::thread::sleep(IDLE / 2);
        client.send(piece);
    }
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_body_that_is_too_large_does_not_end_its_connection() {
    let server = Server::start("", &[campaign("a")]);
    let mut client = server.connect();
    let (good, large) = (patient().to_string(), vec![b'x'; (1 << 20) + 1]);
    for size in [(1 << 20) + 1, 4 << 20] {
        let large = http_request("POST", "/openrtb2/demo", &[], &vec![b'x'; size]);
        client.send(&[&large[..], &http_request("POST", "/openrtb2/demo", &[], good.as_bytes())].concat());
        client.answer().is_empty(413);
        assert_eq!(client.answer().status, 200);
    }
    let chunked = |body: &[u8]| {
        let head = "POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        [head.as_bytes(), format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
    };
    client.send(&[chunked(&large), chunked(good.as_bytes())].concat());
    client.answer().is_empty(413);
    assert_eq!(client.answer().status, 200);
    // Who asks first is told first, and keeps it.
    client.send(b"POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n");
    client.answer().is_empty(413);
}

#[test]
fn connections_beyond_the_limit_get_no_bids_until_there_is_room() {
    let server = Server::start("[limits]\nworkers = 1\nmax_connections = 4\n", &[campaign("a")]);
    let body = patient().to_string();
    let status = |client: &mut Client| client.post("/openrtb2/demo", body.as_bytes()).status;
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    assert!(clients.iter_mut().all(|client| status(client) == 200));
    let mut late = server.connect();
    for _ in 0..3 {
        late.post("/openrtb2/demo", body.as_bytes()).is_empty(204);
        // The others do not suffer, and what costs no bid is answered.
        assert_eq!(status(&mut clients[0]), 200);
        assert_eq!(late.get("/ready").text(), "1");
    }
    assert_eq!(server.metric("gavel_no_bids_total{reason=\"overload\"}"), 3.0);
    let mut later = server.connect();
    assert!(later.try_request("POST", "/openrtb2/demo", &[], body.as_bytes()).is_err());
    assert!(server.metric("gavel_connections_refused_total") >= 1.0);
    clients.pop();
    wait_until("there is room", || status(&mut late) == 200);
}
