//! What is printed: one line per figure, with its median and spread over the rounds.

#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn print(&self, name: &str) {
        let (min, max) = self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        let digits = if max >= 1_000.0 { 0 } else { 2 };
        row(name, &[self.median(), min, max].map(|value| format!("{value:.digits$}")));
    }
}

/// Over the lines that follow.
pub fn header() {
    row("", &["median", "min", "max"].map(str::to_owned));
}

fn row(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
    println!("{name:<48}{cells}");
}
