//! TLS on the traffic listener: the certificate and its key from PEM files, read again while serving.
//!
//! Connections keep what they began with. A pair that is no good is logged and the one in force stays.

use std::fs;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// The certificate in force, shared by all workers.
#[derive(Clone)]
pub struct Certificate {
    files: Tls,
    in_force: InForce,
}

#[derive(Clone, Debug)]
struct InForce(Arc<ArcSwap<CertifiedKey>>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    pub fn load(files: &Tls) -> Result<Certificate, String> {
        let in_force = InForce(Arc::new(ArcSwap::from_pointee(read(files)?)));
        Ok(Certificate { files: files.clone(), in_force })
    }

    /// What accepts connections with whatever certificate is in force.
    pub fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let mut config = builder
            .map_err(|e| e.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.in_force.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A client that comes again costs no signature, and nothing is kept here for it.
        config.ticketer = ring::Ticketer::new().map_err(|e| e.to_string())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Puts what the files hold now in force.
    pub fn reload(&self) -> Result<(), String> {
        self.in_force.0.store(Arc::new(read(&self.files)?));
        Ok(())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The pair in the files, checked: the key is the certificate's.
fn read(files: &Tls) -> Result<CertifiedKey, String> {
    let (cert, key) = (files.cert.display(), files.key.display());
    let text = fs::read(&files.cert).map_err(|e| format!("tls.cert: {cert} cannot be read: {e}"))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| format!("tls.cert: {cert} is not PEM: {e}"))?;
    if chain.is_empty() {
        return Err(format!("tls.cert: {cert} holds no certificate"));
    }
    let text = fs::read(&files.key).map_err(|e| format!("tls.key: {key} cannot be read: {e}"))?;
    let secret =
        PrivateKeyDer::from_pem_slice(&text).map_err(|e| format!("tls.key: {key} holds no private key: {e}"))?;
    let secret = provider().key_provider.load_private_key(secret);
    let pair = CertifiedKey::new(chain, secret.map_err(|e| format!("tls.key: {key} is not a key to sign with: {e}"))?);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(format!("tls.key: {key} is not the key of {cert}"))
        }
        Err(error) => Err(format!("tls.cert: {cert} is not a certificate: {error}")),
    }
}

/// What is wrong with the files, if anything.
pub fn check(files: &Tls) -> Result<(), String> {
    read(files).map(drop)
}
