//! The requests that a run would send, in a file: for other load generators, so that nobody has to trust this one.

use crate::args::RequestsArgs;
use crate::requests::Requests;
use crate::scenario;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A body in each line, in the order in which they would be sent.
pub fn write(args: &RequestsArgs) -> Result<(), String> {
    let scenario = scenario::find(&args.scenario)?;
    let cannot = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if let Some(path) = &args.campaigns {
        scenario::server::write_campaigns(&scenario.server, path).map_err(|error| cannot(path, error))?;
    }
    let requests = Requests::new(&scenario.plan()?);
    let mut file = BufWriter::new(std::fs::File::create(&args.out).map_err(|error| cannot(&args.out, error))?);
    let lines = (0..args.count).try_for_each(|index| {
        let (body, asked) = requests.make(index);
        // A broken one may be no text at all, and would break the lines.
        if asked.broken { Ok(()) } else { file.write_all(&body).and_then(|()| file.write_all(b"\n")) }
    });
    lines.and_then(|()| file.flush()).map_err(|error| cannot(&args.out, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_the_request_that_would_be_sent() {
        let dir = tempfile::tempdir().expect("directory");
        let scenario = dir.path().join("s.toml");
        std::fs::write(&scenario, "about = \"a\"\n[run]\nseed = 5\nmalformed = 0.2\n[server]\ncampaigns = 3\n")
            .expect("written");
        let out = dir.path().join("out.jsonl");
        let campaigns = dir.path().join("campaigns.json");
        let scenario = scenario.to_string_lossy().into_owned();
        let args = RequestsArgs { count: 50, out: out.clone(), campaigns: Some(campaigns.clone()), scenario };
        write(&args).expect("written");
        let text = std::fs::read_to_string(&out).expect("read");
        let campaigns: serde_json::Value =
            serde_json::from_slice(&std::fs::read(campaigns).expect("campaigns")).expect("JSON");
        assert_eq!(campaigns.as_array().map(Vec::len), Some(3));
        assert!((25..50).contains(&text.lines().count()));
        text.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).expect("JSON")));
        let plan = scenario::find(&args.scenario).and_then(|scenario| scenario.plan()).expect("plan");
        let first = (0..).map(|index| Requests::new(&plan).make(index)).find(|(_, asked)| !asked.broken).expect("one");
        assert_eq!(text.lines().next().map(str::as_bytes), Some(&first.0[..]));
    }
}
