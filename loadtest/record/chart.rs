//! Charts as SVG, for a page without scripts.

use std::fmt::Write;

const W: f64 = 760.0;
const H: f64 = 250.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

pub struct Line {
    pub name: String,
    /// Points with nothing break the line.
    pub points: Vec<(f64, Option<f64>)>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Scale {
    Linear,
    /// Powers of ten.
    Log,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Across {
    /// Seconds since the start.
    Seconds,
    /// -log10(1 - quantile): a nine more each.
    Nines,
}

pub struct Chart {
    pub title: String,
    pub unit: &'static str,
    pub across: Across,
    pub scale: Scale,
    pub lines: Vec<Line>,
    /// The warm-up: shaded up to here.
    pub shaded_to: f64,
}

/// A line over the seconds: its values at the middle of each.
pub fn over_time(name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Line {
    let points = values.into_iter().enumerate().map(|(second, value)| (second as f64 + 0.5, value)).collect();
    Line { name: name.to_owned(), points }
}

/// Text as XML has it.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no place for other control characters.
            c if c.is_control() && !"\n\t".contains(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// At most four significant digits.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        value if value < 0.1 => 4,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    if value.abs() >= 1e4 {
        return crate::report::thousands(value.abs().round() as u64);
    }
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The places for about five lines: 1, 2 or 5 times a power of ten apart.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = ((high - low) / 5.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(power * 10.0);
    let first = (low / step).ceil();
    (0..20).map(|number| (first + f64::from(number)) * step).take_while(|tick| *tick <= high * 1.0001).collect()
}

impl Chart {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value))
    }

    /// Lowest and highest of both axes.
    fn bounds(&self) -> ((f64, f64), (f64, f64)) {
        let across = self.lines.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at));
        let right = across.fold(1.0, f64::max);
        let right = if self.across == Across::Seconds { right + 0.5 } else { right };
        let high = self.values().fold(0.0, f64::max);
        let positive = self.values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        let low = match self.scale {
            Scale::Linear => 0.0,
            Scale::Log => 10f64.powf(positive.min(high.max(1e-3)).max(1e-4).log10().floor()),
        };
        let high = match self.scale {
            Scale::Linear if high > 0.0 => high * 1.08,
            Scale::Log if high > low => 10f64.powf(high.log10().ceil()),
            _ => low + 1.0,
        };
        ((0.0, right), (low, high))
    }

    pub fn svg(&self) -> String {
        let ((left, right), (low, high)) = self.bounds();
        let x = |at: f64| LEFT + (at - left) / (right - left) * (W - LEFT - RIGHT);
        let share = |value: f64| match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value.max(low) / low).log10() / (high / low).log10(),
        };
        let y = |value: f64| H - BOTTOM - share(value) * (H - TOP - BOTTOM);
        let mut out = String::new();
        let _ = write!(
            out,
            "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {W} {H}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(&self.title),
            escaped(&self.title)
        );
        if self.shaded_to > 0.0 {
            let (from, to) = (x(0.0), x(self.shaded_to.min(right)));
            let _ = writeln!(
                out,
                "<rect class=\"warm\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                to - from,
                H - TOP - BOTTOM
            );
        }
        let across: Vec<f64> = match self.scale {
            Scale::Linear => ticks(low, high),
            Scale::Log => {
                (low.log10().round() as i32..=high.log10().round() as i32).map(|power| 10f64.powi(power)).collect()
            }
        };
        for tick in across {
            let at = y(tick);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                W - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                short(tick)
            );
        }
        let up: Vec<(f64, String)> = match self.across {
            Across::Seconds => {
                ticks(left, right).into_iter().map(|tick| (tick, format!("{} s", short(tick)))).collect()
            }
            Across::Nines => {
                let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
                let named = names.into_iter().enumerate().map(|(nines, name)| (nines as f64, name.to_owned()));
                let median = [(2f64.log10(), "50 %".to_owned())];
                named.chain(median).filter(|(at, _)| *at <= right).collect()
            }
        };
        for (tick, name) in up {
            let at = x(tick);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{at:.1} {TOP}V{:.1}\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                H - BOTTOM,
                H - BOTTOM + 16.0
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            let (mut path, mut drawn) = (String::new(), false);
            for (at, value) in &line.points {
                let Some(value) = value else {
                    drawn = false;
                    continue;
                };
                // A point alone is a dot by its round ends.
                let (command, dot) = if drawn { ('L', "") } else { ('M', "h0") };
                let _ = write!(path, "{command}{:.1} {:.1}{dot}", x(*at), y(*value));
                drawn = true;
            }
            let _ = writeln!(out, "<path class=\"line c{}\" d=\"{path}\"/>", number % 8);
        }
        let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{}</text>\n</svg>", H - 6.0, escaped(self.unit));
        out.push_str("<p class=\"legend\">");
        for (number, line) in self.lines.iter().enumerate() {
            let _ = write!(out, "<span class=\"c{}\"><i></i>{}</span> ", number % 8, escaped(&line.name));
        }
        out.push_str("</p></figure>\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.01234, 1.5, 12.34, 1234.5, 12_345.6, 100.0, 0.001].map(short);
        assert_eq!(shown, ["0", "0.0123", "1.5", "12.3", "1234", "12,346", "100", "0.001"]);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        for high in [0.003, 0.7, 32.5, 1e6] {
            assert!((3..=12).contains(&ticks(0.0, high).len()), "{high}");
        }
    }

    #[test]
    fn odd_data_make_no_odd_numbers() {
        for values in [vec![], vec![None], vec![Some(0.0)], vec![Some(5.0), None, Some(1e12)], vec![Some(1e-9)]] {
            for scale in [Scale::Linear, Scale::Log] {
                let lines = vec![over_time("a", values.clone())];
                let chart =
                    Chart { title: "t".into(), unit: "ms", across: Across::Seconds, scale, lines, shaded_to: 1.0 };
                let svg = chart.svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
}
