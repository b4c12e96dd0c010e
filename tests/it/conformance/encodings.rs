//! Lines 11, 12 and 15: encoded bodies both ways, and other ways to send a request.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Check;
use super::bodies::{bid, lives, post, unwanted};
use super::target::{Target, parse, response};
use crate::caller::{Caller, trusting};
use crate::http::Answer;
use crate::make::{request, with};
use crate::tls;

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 1).unwrap()
}

/// A gzip member that inflates to `times` mebibytes: one deflated piece, again and again.
fn gzip_bomb(times: usize) -> Vec<u8> {
    let mut encoder = flate2::Compress::new(flate2::Compression::best(), false);
    let mut piece = Vec::with_capacity(8_192);
    encoder.compress_vec(&[b' '; 1 << 20], &mut piece, flate2::FlushCompress::Full).unwrap();
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &piece.repeat(times)].concat()
}

/// A zstd frame that inflates to `times` mebibytes: blocks of one repeated byte, four bytes each.
fn zstd_bomb(times: usize) -> Vec<u8> {
    // A window of 1 MiB, no size, no checksum; then blocks of 128 KiB: not the last, run length.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 10 << 3];
    let header = (128u32 << 10) << 3 | 1 << 1;
    for _ in 0..times * 8 {
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

/// The largest that this process has been, in KiB; the server of a test runs in it.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// Section 2.4, and Google's recommendation.
pub fn encoded_requests(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    // Plain, and long enough that it is worth it.
    let long = with(request(), json!({"ext": {"x": "abcdefgh ".repeat(10_000)}})).to_string();
    for body in [request().to_string(), long] {
        for (encoding, encoded) in [
            ("gzip", gzip(body.as_bytes())),
            ("x-gzip", gzip(body.as_bytes())),
            ("GZIP", gzip(body.as_bytes())),
            ("zstd", zstd(body.as_bytes())),
            ("identity", body.clone().into_bytes()),
        ] {
            let answer = bid(&mut client, &[("Content-Encoding", encoding)], &encoded)?;
            ensure!(answer.status == 200, "{encoding} is {}", answer.status);
            ensure!(parse(&answer)?["id"] == "r-1", "{encoding} changes the request");
        }
    }
    for unknown in ["compress", "br", "deflate64", "gzip, compress", "x"] {
        let answer = post(&mut client, &[("Content-Encoding", unknown)], request().to_string().as_bytes())?;
        ensure!(answer.status == 415 && answer.body.is_empty(), "{unknown} is {}", answer.status);
        lives(&mut client)?;
    }
    // A gibibyte in a mebibyte, and in 32 KiB.
    let before = peak_kib();
    for (encoding, bomb) in [("gzip", gzip_bomb(900)), ("zstd", zstd_bomb(1_024))] {
        ensure!(bomb.len() < 1 << 20, "a bomb of {} bytes", bomb.len());
        let quickest = (0..3).map(|_| {
            let started = Instant::now();
            let answer = post(&mut t.connect(), &[("Content-Encoding", encoding)], &bomb)?;
            ensure!(matches!(answer.status, 400 | 413) && answer.body.is_empty(), "a bomb is {}", answer.status);
            Ok(started.elapsed())
        });
        let quickest = quickest.collect::<Result<Vec<_>, String>>()?.into_iter().min().unwrap_or_default();
        ensure!(quickest < Duration::from_secs(1), "a bomb of {encoding} holds a worker for {quickest:?}");
    }
    if let (true, Some(before), Some(after)) = (t.own().is_some(), before, peak_kib()) {
        // Other tests of this process may grow meanwhile, but not by what a bomb holds.
        ensure!(after < before + (512 << 10), "a bomb takes {} KiB", after - before);
    }
    lives(&mut t.connect())
}

fn decoded(answer: &Answer) -> Result<Answer, String> {
    let mut body = Vec::new();
    match answer.header("content-encoding") {
        None => body.clone_from(&answer.body),
        Some("gzip") => {
            let read = flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut body);
            read.map_err(|e| format!("gzip: {e}"))?;
        }
        Some("zstd") => body = zstd::decode_all(&answer.body[..]).map_err(|e| format!("zstd: {e}"))?,
        Some(other) => return Err(format!("an encoding of {other}")),
    }
    Ok(Answer { body, headers: Vec::new(), ..*answer })
}

/// Section 2.4. A no-bid has no body, so it has no encoding either.
pub fn encoded_responses(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    let imps: Vec<Value> = (0..20).map(|i| json!({"id": format!("{i}"), "banner": {"w": 300, "h": 250}})).collect();
    let asked = with(request(), json!({"imp": imps}));
    for (accepted, encodings) in [
        (None, &[None][..]),
        (Some("identity"), &[None]),
        (Some("gzip"), &[Some("gzip")]),
        (Some("zstd"), &[Some("zstd")]),
        (Some("gzip, deflate, br"), &[Some("gzip")]),
        (Some("br"), &[None]),
        (Some("gzip;q=0"), &[None]),
        (Some("zstd;q=0, gzip;q=0.5"), &[Some("gzip")]),
        (Some("gzip, zstd"), &[Some("gzip"), Some("zstd")]),
    ] {
        let headers: Vec<(&str, &str)> = accepted.iter().map(|a| ("Accept-Encoding", *a)).collect();
        let answer = bid(&mut client, &headers, asked.to_string().as_bytes())?;
        ensure!(answer.status == 200, "accepting {accepted:?} is {}", answer.status);
        let encoding = answer.header("content-encoding");
        ensure!(encodings.contains(&encoding), "accepting {accepted:?} is answered as {encoding:?}");
        response(&decoded(&answer)?, &asked)?;
        let none = post(&mut client, &headers, unwanted().to_string().as_bytes())?;
        ensure!(none.status == 204 && none.header("content-encoding").is_none(), "an encoded no-bid");
    }
    Ok(())
}

/// RFC 9110 section 10.1.1; RFC 9113 section 3.3.
pub fn expect_and_http2(t: &Target) -> Check {
    t.any_bid(&request())?;
    let mut client = t.connect();
    let body = request().to_string();
    for _ in 0..3 {
        let head = "POST /openrtb2/demo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length:";
        client.send(format!("{head} {}\r\n\r\n", body.len()).as_bytes());
        let go_on = client.try_answer(true).map_err(|e| e.to_string())?;
        ensure!(go_on.status == 100, "Expect is answered with {}", go_on.status);
        client.send(body.as_bytes());
        let answer = client.try_answer(true).map_err(|e| e.to_string())?;
        ensure!(matches!(answer.status, 200 | 204), "after Expect the bid is {}", answer.status);
        lives(&mut client)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(http2(t))?;
    // Another target says nothing of its certificate.
    if t.own().is_some() { tls() } else { Ok(()) }
}

fn tls() -> Check {
    let (server, pem) = tls::server();
    for protocol in ["h2", "http/1.1"] {
        let mut caller = Caller::tls(server.traffic(), trusting(&pem, &[protocol])).map_err(|e| e.to_string())?;
        ensure!(caller.protocol.as_deref() == Some(protocol), "ALPN {protocol} is answered with {:?}", caller.protocol);
        let asked = request();
        let answer = caller.post("/openrtb2/demo", &[], asked.to_string().as_bytes());
        ensure!(response(&answer, &asked)?.is_some(), "no bid over TLS by {protocol}");
    }
    Ok(())
}

async fn http2(t: &Target) -> Check {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let failed = |e: hyper::Error| format!("HTTP/2: {e}");
    let stream = tokio::net::TcpStream::connect(t.address()).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(failed)?;
    let driver = tokio::spawn(connection);
    let mut bids = 0;
    for i in 0..100 {
        let wanted = i % 3 > 0;
        let asked = if wanted { request() } else { unwanted() };
        let body = Full::new(bytes::Bytes::from(asked.to_string()));
        let post = hyper::Request::post("http://localhost/openrtb2/demo").body(body).map_err(|e| e.to_string())?;
        let answer = sender.send_request(post).await.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(failed)?.to_bytes().to_vec();
        let answered = response(&Answer { status, headers: Vec::new(), body }, &asked)?;
        ensure!(wanted || answered.is_none(), "HTTP/2 makes a bid of a no-bid");
        bids += usize::from(answered.is_some());
    }
    ensure!(bids > 30, "{bids} of 66 bids by HTTP/2");
    drop(sender);
    driver.await.map_err(|e| e.to_string())?.map_err(failed)
}
