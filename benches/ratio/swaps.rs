//! Versions of a model that are activated one after the other, while all campaigns are priced by it. Each is read from disk
//! and checked: of three in turn the next is never in memory.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;
use crate::disturbed::{Disturbance, call};

const MANIFEST: &str = include_str!("../../models/ctr/2026-11-20.1/manifest.toml");
const MODEL: &[u8] = include_bytes!("../../models/ctr/2026-11-20.1/model.ubj");
const VERSIONS: usize = 3;

/// The campaign, paid by the click.
pub fn by_click(mut campaign: Value) -> Value {
    campaign["bid"] = json!({"type": "cpc", "price": "0.80", "model": "ctr"});
    campaign
}

/// The demo's model under several names.
pub fn prepare(dir: &Path) -> Result<(), Error> {
    for version in 0..VERSIONS {
        let folder = dir.join(format!("data/models/ctr/{version}"));
        fs::create_dir_all(&folder)?;
        let line = |line: &str| {
            if line.starts_with("version = ") { format!("version = \"{version}\"") } else { line.to_owned() }
        };
        fs::write(folder.join("manifest.toml"), MANIFEST.lines().map(line).collect::<Vec<_>>().join("\n"))?;
        fs::write(folder.join("model.ubj"), MODEL)?;
    }
    Ok(())
}

pub fn swaps() -> Disturbance {
    let act = |stream: &mut TcpStream, number: usize| activate(stream, number % VERSIONS);
    Disturbance { what: "a swap", interval: Duration::from_millis(25), act: Arc::new(act) }
}

pub fn first(admin: SocketAddr) -> io::Result<()> {
    activate(&mut TcpStream::connect(admin)?, 0)
}

fn activate(stream: &mut TcpStream, version: usize) -> io::Result<()> {
    call(stream, &format!("POST /v1/models/ctr/{version}/activate"), "").map(drop)
}
