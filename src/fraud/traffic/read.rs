//! Lists as they are published. Which form a file has shows in its text.
//!
//! | kind | forms |
//! |---|---|
//! | data centres | AWS `ip-ranges.json`, Google `cloud.json`, Azure `ServiceTags_*.json`, or a range in each line, up to a comma |
//! | crawlers | `crawler-user-agents.json` (regular expressions), or a text in each line, found in any case |
//! | publishers | a domain, an app, or `exchange/id` in each line |
//!
//! In plain files `#` begins a comment.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Lists;
use super::agents::{Agents, Pattern};
use super::publishers::Publishers;
use super::ranges::{Prefix, Ranges};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    DataCentres,
    Crawlers,
    Publishers,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// 1 is the first.
    pub line: Option<usize>,
    pub message: String,
}

/// Faults of one file that are told: what is not such a list at all has one in every line.
const MAX_FAULTS: usize = 20;

/// What files hold, before it is made ready.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    prefixes: Vec<Prefix>,
    patterns: BTreeSet<Pattern>,
    publishers: BTreeSet<String>,
}

impl Entries {
    /// Adds what a file holds; how many entries that are.
    pub fn add(&mut self, kind: Kind, text: &str) -> Result<usize, Vec<LineFault>> {
        let text = text.trim_start_matches('\u{feff}');
        let is_json = text.trim_start().starts_with(['{', '[']);
        let read = match kind {
            Kind::DataCentres if is_json => json_prefixes(text)?,
            Kind::Crawlers if is_json => json_patterns(text)?,
            _ => plain(text, kind == Kind::DataCentres),
        };
        let mut faults = Vec::new();
        let mut fault = |line, entry: &str, message: &str| {
            faults.push(LineFault { line, message: format!("{entry:?} {message}") });
        };
        for (line, entry) in &read {
            match kind {
                Kind::DataCentres => match Prefix::parse(entry) {
                    Some(prefix) if prefix.is_all() => fault(*line, entry, "is every address there is"),
                    Some(prefix) => self.prefixes.push(prefix),
                    None => fault(*line, entry, "is no address range such as 203.0.113.0/24"),
                },
                Kind::Crawlers => {
                    let own = entry.clone();
                    let pattern = if is_json { Pattern::Expression(own) } else { Pattern::Text(own) };
                    match pattern.check() {
                        Ok(()) => drop(self.patterns.insert(pattern)),
                        Err(message) => fault(*line, entry, &message),
                    }
                }
                Kind::Publishers => match is_publisher(entry) {
                    true => drop(self.publishers.insert(entry.clone())),
                    false => fault(*line, entry, "is no domain, app, or exchange/id"),
                },
            }
        }
        if read.is_empty() {
            faults.push(LineFault { line: None, message: "holds no entry".to_owned() });
        }
        faults.truncate(MAX_FAULTS);
        if faults.is_empty() { Ok(read.len()) } else { Err(faults) }
    }

    /// Made ready.
    pub fn lists(&self) -> Result<Lists, String> {
        let patterns: Vec<Pattern> = self.patterns.iter().cloned().collect();
        let publishers: Vec<String> = self.publishers.iter().cloned().collect();
        Ok(Lists {
            data_centres: Ranges::of(&self.prefixes),
            crawlers: Agents::of(&patterns)?,
            publishers: Publishers::of(&publishers),
        })
    }

    /// As one plain list of ranges, merged.
    pub fn plain_prefixes(&self) -> Vec<String> {
        Ranges::of(&self.prefixes).prefixes()
    }

    /// As one list in the form of `crawler-user-agents.json`.
    pub fn json_patterns(&self) -> Vec<String> {
        let one = |pattern: &Pattern| {
            let source = match pattern {
                Pattern::Text(text) => format!("(?i){}", regex::escape(text)),
                Pattern::Expression(source) => source.clone(),
            };
            serde_json::json!({"pattern": source}).to_string()
        };
        self.patterns.iter().map(one).collect()
    }

    pub fn plain_publishers(&self) -> Vec<String> {
        self.publishers.iter().cloned().collect()
    }
}

type Read = Vec<(Option<usize>, String)>;

fn plain(text: &str, columns: bool) -> Read {
    let lines = text.lines().enumerate().map(|(number, line)| {
        let line = line.split('#').next().unwrap_or("").trim();
        // What follows a range in tables says where it is.
        let entry = if columns { line.split([',', ';', ' ', '\t']).next().unwrap_or("") } else { line };
        (Some(number + 1), entry.to_owned())
    });
    lines.filter(|(_, entry)| !entry.is_empty()).collect()
}

fn is_publisher(entry: &str) -> bool {
    let fine = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    match entry.split_once('/') {
        Some((exchange, id)) => fine(exchange) && fine(id),
        None => fine(entry) && !entry.starts_with('.') && !entry.contains(['*', ':', ',']),
    }
}

/// Where an entry stands in a text: the line of the first that is written like it.
fn line_of(text: &str, entry: &str) -> Option<usize> {
    let at = text.find(&serde_json::to_string(entry).ok()?)?;
    Some(text[..at].matches('\n').count() + 1)
}

fn with_lines(text: &str, entries: impl Iterator<Item = String>, is_fine: impl Fn(&str) -> bool) -> Read {
    // Looked for only where it is told.
    entries.map(|entry| (if is_fine(&entry) { None } else { line_of(text, &entry) }, entry)).collect()
}

fn from_json<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Vec<LineFault>> {
    serde_json::from_str(text).map_err(|e| vec![LineFault { line: Some(e.line()), message: e.to_string() }])
}

/// AWS: https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html#aws-ip-syntax. Google: `cloud.json`, and
/// `goog.json` alike. Azure: https://learn.microsoft.com/azure/virtual-network/service-tags-overview#discover-service-tags-by-using-downloadable-json-files
#[derive(Deserialize)]
struct Clouds {
    prefixes: Option<Vec<CloudPrefix>>,
    #[serde(default)]
    ipv6_prefixes: Vec<CloudPrefix>,
    values: Option<Vec<ServiceTag>>,
}

#[derive(Deserialize)]
struct CloudPrefix {
    #[serde(alias = "ip_prefix", alias = "ipv6_prefix", alias = "ipv4Prefix", alias = "ipv6Prefix")]
    prefix: String,
}

#[derive(Deserialize)]
struct ServiceTag {
    properties: TagProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagProperties {
    address_prefixes: Vec<String>,
}

fn json_prefixes(text: &str) -> Result<Read, Vec<LineFault>> {
    let clouds: Clouds = from_json(text)?;
    if clouds.prefixes.is_none() && clouds.values.is_none() {
        let message = "has neither \"prefixes\", as AWS and Google write them, nor \"values\", as Azure does";
        return Err(vec![LineFault { line: None, message: message.to_owned() }]);
    }
    let plain = clouds.prefixes.into_iter().flatten().chain(clouds.ipv6_prefixes).map(|row| row.prefix);
    let tags = clouds.values.into_iter().flatten().flat_map(|tag| tag.properties.address_prefixes);
    let is_fine = |entry: &str| Prefix::parse(entry).is_some_and(|prefix| !prefix.is_all());
    Ok(with_lines(text, plain.chain(tags), is_fine))
}

/// https://github.com/monperrus/crawler-user-agents
#[derive(Deserialize)]
struct Crawler {
    pattern: String,
}

fn json_patterns(text: &str) -> Result<Read, Vec<LineFault>> {
    let crawlers: Vec<Crawler> = from_json(text)?;
    let mut read = with_lines(text, crawlers.into_iter().map(|crawler| crawler.pattern), |_| true);
    for (line, pattern) in &mut read {
        if Pattern::Expression(pattern.clone()).check().is_err() {
            *line = line_of(text, pattern);
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(text: &str) -> Vec<String> {
        let mut entries = Entries::default();
        entries.add(Kind::DataCentres, text).unwrap();
        entries.plain_prefixes()
    }

    fn faults(kind: Kind, text: &str) -> Vec<String> {
        let faults = Entries::default().add(kind, text).unwrap_err();
        faults.iter().map(|fault| format!("{}: {}", fault.line.unwrap_or(0), fault.message)).collect()
    }

    #[test]
    fn clouds_are_read_as_they_write_them() {
        let aws = r#"{"syncToken": "1", "createDate": "2026-11-20-00-00-00", "prefixes": [
            {"ip_prefix": "203.0.113.0/25", "region": "eu-central-1", "service": "EC2", "network_border_group": "x"},
            {"ip_prefix": "203.0.113.128/25", "region": "eu-central-1", "service": "S3"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "x", "service": "EC2"}]}"#;
        assert_eq!(prefixes(aws), ["203.0.113.0/24", "2001:db8::/32"]);
        let google = r#"{"syncToken": "1", "creationTime": "x", "prefixes": [
            {"ipv4Prefix": "203.0.113.0/24", "service": "Google Cloud", "scope": "x"}, {"ipv6Prefix": "2001:db8::/32"}]}"#;
        assert_eq!(prefixes(google), ["203.0.113.0/24", "2001:db8::/32"]);
        let azure = r#"{"changeNumber": 7, "cloud": "Public", "values": [{"name": "A", "id": "A", "properties":
            {"changeNumber": 1, "platform": "Azure", "addressPrefixes": ["203.0.113.0/24", "2001:db8::/32"]}}]}"#;
        assert_eq!(prefixes(azure), ["203.0.113.0/24", "2001:db8::/32"]);
        let plain = "\u{feff}# cloud\n203.0.113.0/24 # here\n\n2001:db8::/32,US,New York\r\n198.51.100.7\n";
        assert_eq!(prefixes(plain), ["198.51.100.7/32", "203.0.113.0/24", "2001:db8::/32"]);
    }

    #[test]
    fn crawlers_are_texts_or_expressions() {
        let knows = |text: &str, agent: &str| {
            let mut entries = Entries::default();
            entries.add(Kind::Crawlers, text).unwrap();
            let own = entries.lists().unwrap().crawlers.knows(agent);
            // What is written out is the same list.
            let mut again = Entries::default();
            again.add(Kind::Crawlers, &format!("[{}]", entries.json_patterns().join(","))).unwrap();
            assert_eq!(again.lists().unwrap().crawlers.knows(agent), own);
            own
        };
        let json = r#"[{"pattern": "Googlebot\\/", "url": "x", "instances": ["y"]}, {"pattern": "[wW]get"}]"#;
        assert!(knows(json, "Googlebot/2.1") && knows(json, "Wget/1") && !knows(json, "googlebot/2.1"));
        assert!(knows("Googlebot/ # Google\n", "GOOGLEBOT/2.1") && !knows("a.b", "axb"));
    }

    #[test]
    fn faults_have_their_line() {
        for (kind, text, want) in [
            (
                Kind::DataCentres,
                "1.2.3.4\nx\n0.0.0.0/0\n",
                &["2: \"x\" is no address range such as 203.0.113.0/24", "3: \"0.0.0.0/0\" is every address there is"]
                    [..],
            ),
            (
                Kind::DataCentres,
                "{\"prefixes\": [\n{\"ipv4Prefix\": \"1.2.3.4/8\"},\n{\"ipv6Prefix\": \"x\"}]}",
                &["3: \"x\" is no address range such as 203.0.113.0/24"],
            ),
            (
                Kind::DataCentres,
                "{\n}",
                &["0: has neither \"prefixes\", as AWS and Google write them, nor \"values\", as Azure does"],
            ),
            (Kind::DataCentres, "# nothing\n", &["0: holds no entry"]),
            (
                Kind::Crawlers,
                "[{\"pattern\": \"a\"},\n{\"pattern\": \"a*\"}]",
                &["2: \"a*\" is found in every user agent"],
            ),
            (Kind::Publishers, "fine.example\na b\n", &["2: \"a b\" is no domain, app, or exchange/id"]),
        ] {
            assert_eq!(faults(kind, text), want, "{text}");
        }
        assert!(faults(Kind::DataCentres, "{\n\"prefixes\": 7}")[0].starts_with("2: "));
        assert_eq!(faults(Kind::Publishers, &"*\n".repeat(1_000)).len(), MAX_FAULTS);
    }

    #[test]
    fn no_text_makes_it_panic() {
        let texts = [
            r#"{"prefixes": [{"ip_prefix": "203.0.113.0/25"}], "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32"}]}"#,
            r#"{"values": [{"properties": {"addressPrefixes": ["203.0.113.0/24", "::ffff:1.2.3.4/97"]}}]}"#,
            r#"[{"pattern": "[wW]get"}, {"pattern": "(?i)bücher\\/"}]"#,
            "\u{feff}# list\n203.0.113.0/24, x\n::/64\nbad.example\ndemo/p é\n",
        ];
        let mut rng = fastrand::Rng::with_seed(9);
        for round in 0..3_000 {
            let mut bytes = texts[round % texts.len()].as_bytes().to_vec();
            for _ in 0..rng.usize(..4) {
                let at = rng.usize(..bytes.len());
                match rng.u8(..3) {
                    0 => bytes[at] = rng.u8(..),
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, b"/[]{}\"*#\n:.0"[rng.usize(..12)]),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            for kind in [Kind::DataCentres, Kind::Crawlers, Kind::Publishers] {
                let mut entries = Entries::default();
                if entries.add(kind, &text).is_ok() {
                    let lists = entries.lists().unwrap();
                    lists.crawlers.knows(&text);
                }
            }
        }
    }

    #[test]
    fn the_demo_has_no_faults() {
        for (kind, text) in [
            (Kind::DataCentres, include_str!("demo/data-centres.txt")),
            (Kind::Crawlers, include_str!("demo/crawlers.txt")),
            (Kind::Publishers, include_str!("demo/publishers.txt")),
        ] {
            assert!(Entries::default().add(kind, text).unwrap() > 1, "{kind:?}");
        }
    }
}
