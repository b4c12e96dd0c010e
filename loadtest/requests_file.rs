//! The requests that a run would send, in a file: for other load generators, so that nobody has to trust this one.

use crate::args::RequestsArgs;
use crate::plan::Plan;
use crate::requests::Requests;
use crate::scenario;
use std::io::{BufWriter, Write};

/// A body in each line, in the order in which they would be sent.
pub fn write(args: &RequestsArgs) -> Result<(), String> {
    let plan: Plan = scenario::find(&args.scenario)?.plan()?;
    let requests = Requests::new(&plan);
    let file = std::fs::File::create(&args.out);
    let mut file = BufWriter::new(file.map_err(|error| format!("cannot write {}: {error}", args.out.display()))?);
    let lines = (0..args.count).try_for_each(|index| {
        let (body, asked) = requests.make(index);
        // A broken one may be no text at all, and would break the lines.
        if asked.broken { Ok(()) } else { file.write_all(&body).and_then(|()| file.write_all(b"\n")) }
    });
    lines.and_then(|()| file.flush()).map_err(|error| format!("cannot write {}: {error}", args.out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_the_request_that_would_be_sent() {
        let dir = tempfile::tempdir().expect("directory");
        let scenario = dir.path().join("s.toml");
        std::fs::write(&scenario, "about = \"a\"\n[run]\nseed = 5\nmalformed = 0.2\n").expect("written");
        let out = dir.path().join("out.jsonl");
        let args = RequestsArgs { count: 50, out: out.clone(), scenario: scenario.to_string_lossy().into_owned() };
        write(&args).expect("written");
        let text = std::fs::read_to_string(&out).expect("read");
        assert!((25..50).contains(&text.lines().count()));
        text.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).expect("JSON")));
        let plan = scenario::find(&args.scenario).and_then(|scenario| scenario.plan()).expect("plan");
        let first = (0..).map(|index| Requests::new(&plan).make(index)).find(|(_, asked)| !asked.broken).expect("one");
        assert_eq!(text.lines().next().map(str::as_bytes), Some(&first.0[..]));
    }
}
