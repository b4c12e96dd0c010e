//! What a server may use more of the longer it runs: next to nothing.

use super::file::Bounds;
use crate::record::ServerUse;

/// Seconds at the begin and at the end whose middle value counts: a single one may be that of a checkpoint.
const SPAN: usize = 60;

/// Prints what was used at first and at last; true where that is more than it may be, none where the run was too short.
pub fn check(bounds: &Bounds, used: &ServerUse) -> Option<bool> {
    let skip = bounds.after.as_secs() as usize;
    let grown = |column: &[f64]| {
        let rest = column.get(skip..).filter(|rest| rest.len() >= 2 * SPAN)?;
        Some((middle(&rest[..SPAN]), middle(&rest[rest.len() - SPAN..])))
    };
    let (Some(memory), Some(files)) = (grown(&used.rss_kib), grown(&used.files)) else {
        println!("bounds    not looked at: the run is shorter than {skip} s and two minutes");
        return None;
    };
    let more = memory.1 / memory.0 - 1.0;
    let is_broken = more > bounds.memory || files.1 > files.0 + bounds.files as f64;
    println!(
        "bounds    from {skip} s on: memory {} KiB, then {} KiB ({:+.2} %, at most {:+.2} %); open files {}, then {} (at most {} more): {}",
        memory.0,
        memory.1,
        100.0 * more,
        100.0 * bounds.memory,
        files.0,
        files.1,
        bounds.files,
        if is_broken { "BROKEN" } else { "kept" }
    );
    Some(is_broken)
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_grows_breaks_the_bounds() {
        let bounds = Bounds { after: Duration::from_secs(10), memory: 0.02, files: 0 };
        let used = |rss: fn(usize) -> f64, files: fn(usize) -> f64, seconds| ServerUse {
            rss_kib: (0..seconds).map(rss).collect(),
            files: (0..seconds).map(files).collect(),
            ..ServerUse::default()
        };
        let flat = |_: usize| 100.0;
        // What comes before they begin, and a second here and there, do not count.
        let warm = |at: usize| if at < 10 { 10.0 } else { 100.0 + 50.0 * f64::from(u8::from(at.is_multiple_of(7))) };
        assert_eq!(check(&bounds, &used(warm, flat, 300)), Some(false));
        assert_eq!(check(&bounds, &used(|at| 100.0 + at as f64 / 50.0, flat, 300)), Some(true));
        assert_eq!(check(&bounds, &used(flat, |at| if at < 200 { 9.0 } else { 10.0 }, 300)), Some(true));
        assert_eq!(check(&bounds, &used(flat, flat, 129)), None);
    }
}
