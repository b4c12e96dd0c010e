//! gavel configured for fraud checks as `support/checks.rs` has them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;

use crate::Error;
use crate::checking::{body, model, rules, windows};
use crate::client::{NUMBER, REQUESTS};
use crate::disturbed::call;

/// Appends what gavel needs to be configured with, and writes rules and model.
pub fn prepare(dir: &Path) -> Result<(), Error> {
    let config = "[fraud]\nrules = \"rules.toml\"\ndeadline_ms = 60000\n".to_owned() + &windows();
    let file = dir.join("gavel.toml");
    fs::write(&file, fs::read_to_string(&file)? + &config)?;
    fs::write(dir.join("rules.toml"), rules())?;
    let (file, manifest) = model();
    let dir = dir.join("data/models/fraud/1");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("model.txt"), file)?;
    fs::write(dir.join("manifest.toml"), manifest)?;
    Ok(())
}

pub fn activate(admin: SocketAddr) -> Result<(), Error> {
    call(&mut TcpStream::connect(admin)?, "POST /v1/models/fraud/1/activate", "")?;
    Ok(())
}

/// The requests, as bytes to be sent once a number is in place of [`NUMBER`].
pub fn requests() -> Rc<[Vec<u8>]> {
    let whole = |i: usize| {
        let body = body(i, NUMBER);
        let head = format!(
            "POST /v1/fraud/checks HTTP/1.1\r\nhost: bidder.example\r\ncontent-type: application/json\r\n\
             idempotency-key: order-{NUMBER}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        (head + &body).into_bytes()
    };
    (0..REQUESTS).map(whole).collect()
}
