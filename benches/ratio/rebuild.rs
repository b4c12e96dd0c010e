//! Campaigns that are re-targeted over and over. Where no campaign may stay beside the catalog, each edit also has it built
//! anew.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::Arguments;
use crate::disturbed::{Disturbance, call};
use crate::support::campaigns::campaign;

/// Puts one campaign after the other with a changed targeting; `what` is what each edit amounts to.
pub fn edits(arguments: &Arguments, what: &'static str) -> Disturbance {
    let (of, mix) = (arguments.campaigns, arguments.eligible.mix());
    let act = move |stream: &mut TcpStream, edit: usize| {
        let mut campaign = campaign(edit % of, mix);
        campaign["targeting"]["regions"] = json!({"exclude": [format!("X{}", edit % 89 + 10)]});
        call(stream, &format!("PUT /v1/campaigns/c-{}", edit % of), &campaign.to_string()).map(drop)
    };
    Disturbance { what, interval: Duration::from_millis(200), act: Arc::new(act) }
}

pub fn last_build_us(admin: SocketAddr) -> io::Result<f64> {
    let metrics = call(&mut TcpStream::connect(admin)?, "GET /metrics", "")?;
    let value = metrics.lines().find_map(|line| line.strip_prefix("gavel_catalog_build_microseconds ")?.parse().ok());
    value.ok_or_else(|| io::Error::other("no gavel_catalog_build_microseconds"))
}
