//! A client by hyper: HTTP/2, and TLS, which the small one does not speak.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::http::Answer;

const PATIENCE: Duration = Duration::from_secs(10);

/// One connection. What it runs on only moves while a call waits.
pub struct Caller {
    runtime: Runtime,
    sender: Sender,
    /// What was agreed on with ALPN.
    pub protocol: Option<String>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What trusts that certificate, and offers these protocols.
pub fn trusting(pem: &str, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

impl Caller {
    /// HTTP/2 with prior knowledge.
    pub fn http2(address: SocketAddr) -> Caller {
        let runtime = runtime();
        let sender = runtime.block_on(async { http2_on(TcpStream::connect(address).await.unwrap()).await });
        Caller { runtime, sender: Sender::Http2(sender), protocol: None }
    }

    /// TLS to `localhost`; HTTP/2 where that is agreed on.
    pub fn tls(address: SocketAddr, config: ClientConfig) -> std::io::Result<Caller> {
        let runtime = runtime();
        let (sender, protocol) = runtime.block_on(async {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            let protocol = stream.get_ref().1.alpn_protocol().map(|p| String::from_utf8(p.to_vec()).unwrap());
            let sender = match protocol.as_deref() {
                Some("h2") => Sender::Http2(http2_on(stream).await),
                _ => {
                    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                    tokio::spawn(driver);
                    Sender::Http1(sender)
                }
            };
            std::io::Result::Ok((sender, protocol))
        })?;
        Ok(Caller { runtime, sender, protocol })
    }

    pub fn try_post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> hyper::Result<Answer> {
        let Caller { runtime, sender, .. } = self;
        let request = request(path, headers, body);
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                let response = match sender {
                    Sender::Http1(sender) => sender.send_request(request).await?,
                    Sender::Http2(sender) => sender.send_request(request).await?,
                };
                answer(response).await
            })
            .await
            .unwrap()
        })
    }

    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_post(path, headers, body).unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    /// All at once, on HTTP/2.
    pub fn post_all(&mut self, path: &str, bodies: &[String]) -> Vec<Answer> {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 has one request at a time") };
        self.runtime.block_on(async {
            let sent: Vec<_> = bodies
                .iter()
                .map(|body| {
                    let (mut sender, request) = (sender.clone(), request(path, &[], body.as_bytes()));
                    tokio::spawn(async move { answer(sender.send_request(request).await.unwrap()).await.unwrap() })
                })
                .collect();
            let mut answers = Vec::new();
            for answer in sent {
                answers.push(tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap());
            }
            answers
        })
    }

    /// One after the other, on HTTP/2, reading none of the bodies: the statuses.
    pub fn post_unread(&mut self, path: &str, body: &[u8], count: usize) -> Vec<u16> {
        let Sender::Http2(sender) = &mut self.sender else { panic!("HTTP/1.1 would wait for the body") };
        self.runtime.block_on(async {
            let mut unread = Vec::new();
            for _ in 0..count {
                let sent = sender.send_request(request(path, &[], body));
                unread.push(tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap());
            }
            unread.iter().map(|response| response.status().as_u16()).collect()
        })
    }

    /// Waits for the server to end the connection.
    pub fn wait_closed(&mut self) {
        let Caller { runtime, sender, .. } = self;
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                let is_closed = || match &*sender {
                    Sender::Http1(sender) => sender.is_closed(),
                    Sender::Http2(sender) => sender.is_closed(),
                };
                while !is_closed() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await
            .expect("the connection is still open");
        });
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn http2_on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> http2::SendRequest<Full<Bytes>> {
    let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    sender
}

fn request(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("http://localhost{path}")).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

async fn answer(response: Response<Incoming>) -> hyper::Result<Answer> {
    let status = response.status().as_u16();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(Answer { status, headers, body: response.into_body().collect().await?.to_bytes().to_vec() })
}
