//! `gavel report`: what each campaign is invoiced for a month, from the books.
//!
//! A report is final: it is written once and never changed. What is booked to a month after its report stands, as an
//! adjustment, in the report of a later month. So all lines of a campaign's month, over all reports, add up to its books.
//!
//! Money is rounded once, from nanos to hundredths of the currency's unit, down, on all that a campaign spent in a
//! month: an adjustment is the difference of two such amounts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::parser::parse_message_type;
use sha2::{Digest, Sha256};

use super::archive::table::{Field, Form, field, schema};
use super::archive::{ArchiveError, Column, create, fields_of, guarded, hex, sync_dir};
use crate::clock::Month;
use crate::ledger::Books;

/// Version of the columns.
const VERSION: u32 = 1;
const TABLE: &str = "invoice";
/// The largest report that is read back: a million campaigns.
const MAX_BYTES: u64 = 256 << 20;
const NANOS_A_CENT: i64 = 10_000_000;
const ROWS: usize = 64 << 10;
/// A report's files, by their extensions, and that of their sums.
const FILES: [&str; 2] = ["csv", "parquet"];
const SUMS: &str = "sha256";

/// The columns, of the CSV file and of the Parquet file.
pub const COLUMNS: [Field; 10] = [
    field("month", Form::Text),
    field("advertiser", Form::Text),
    field("campaign", Form::Text),
    field("currency", Form::Text),
    field("period", Form::Text),
    field("kind", Form::Text),
    field("bills", Form::I64),
    field("spent_nanos", Form::I64),
    field("late_nanos", Form::I64),
    field("amount", Form::Cents),
];

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    pub bills: i64,
    pub spent_nanos: i64,
    /// The part of it that was booked after its reservation's money had gone back.
    pub late_nanos: i64,
}

impl Spend {
    fn add(&mut self, other: Spend) {
        self.bills = self.bills.saturating_add(other.bills);
        self.spent_nanos = self.spent_nanos.saturating_add(other.spent_nanos);
        self.late_nanos = self.late_nanos.saturating_add(other.late_nanos);
    }

    fn less(self, other: Spend) -> Spend {
        Spend {
            bills: self.bills.saturating_sub(other.bills),
            spent_nanos: self.spent_nanos.saturating_sub(other.spent_nanos),
            late_nanos: self.late_nanos.saturating_sub(other.late_nanos),
        }
    }

    /// What it is invoiced at: hundredths of a unit, rounded down.
    fn cents(self) -> i64 {
        self.spent_nanos.div_euclid(NANOS_A_CENT)
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Of the report.
    pub month: Month,
    pub advertiser: String,
    pub campaign: String,
    pub currency: String,
    /// The month that the money was spent in: of an adjustment an earlier one.
    pub period: Month,
    pub spend: Spend,
    pub cents: i64,
}

/// What was spent and invoiced, by campaign and month.
pub type Months = BTreeMap<(String, Month), Spend>;

/// What the books say that each campaign spent in each month.
pub fn booked(books: &Books) -> Months {
    let mut months = Months::new();
    for book in books.campaigns.values() {
        for (day, booked) in &book.days {
            let bills = i64::try_from(booked.billed).unwrap_or(i64::MAX);
            let spend = Spend { bills, spent_nanos: booked.spent.0, late_nanos: booked.late.0 };
            months.entry((book.id.clone(), Month::of(*day))).or_default().add(spend);
        }
    }
    months
}

/// The lines of a month's report: its own spend, and what earlier months that have a report got since. `invoiced` is all
/// that other reports say. `of` gives a campaign's advertiser and currency.
pub fn lines(
    month: Month,
    booked: &Months,
    invoiced: &BTreeMap<Month, Months>,
    of: &dyn Fn(&str) -> (String, String),
) -> Vec<Line> {
    let mut lines = Vec::new();
    for ((campaign, period), spend) in booked {
        let is_reported = *period < month && invoiced.contains_key(period);
        if *period != month && !is_reported {
            continue;
        }
        let mut before = Spend::default();
        let key = (campaign.clone(), *period);
        invoiced.values().filter_map(|report| report.get(&key)).for_each(|part| before.add(*part));
        if before == *spend {
            continue;
        }
        let (advertiser, currency) = of(campaign);
        lines.push(Line {
            month,
            advertiser,
            campaign: campaign.clone(),
            currency,
            period: *period,
            spend: spend.less(before),
            cents: spend.cents() - before.cents(),
        });
    }
    lines.sort_by(|a, b| (&a.advertiser, &a.campaign, a.period).cmp(&(&b.advertiser, &b.campaign, b.period)));
    lines
}

impl Line {
    fn kind(&self) -> &'static str {
        if self.period == self.month { "spend" } else { "adjustment" }
    }
}

/// The report as CSV (RFC 4180, lines end with a line feed).
pub fn csv(lines: &[Line]) -> String {
    let mut out = COLUMNS.map(|column| column.name).join(",") + "\n";
    for line in lines {
        let Spend { bills, spent_nanos, late_nanos } = line.spend;
        let sign = if line.cents < 0 { "-" } else { "" };
        let cents = line.cents.unsigned_abs();
        let row = [
            line.month.to_string(),
            quoted(&line.advertiser),
            quoted(&line.campaign),
            line.currency.clone(),
            line.period.to_string(),
            line.kind().to_owned(),
            bills.to_string(),
            spent_nanos.to_string(),
            late_nanos.to_string(),
            format!("{sign}{}.{:02}", cents / 100, cents % 100),
        ];
        out += &(row.join(",") + "\n");
    }
    out
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// The reports in a directory.
pub struct Reports {
    dir: PathBuf,
}

impl Reports {
    pub fn new(dir: &Path) -> Reports {
        Reports { dir: dir.to_owned() }
    }

    pub fn path(&self, month: Month, extension: &str) -> PathBuf {
        self.dir.join(format!("{month}.{extension}"))
    }

    /// Whether the month has its report; an error where its files are not as they were written.
    pub fn has(&self, month: Month) -> Result<bool, ArchiveError> {
        let is_there = self.path(month, "parquet").exists();
        for extension in FILES.into_iter().filter(|_| is_there) {
            self.checked(month, extension)?;
        }
        Ok(is_there)
    }

    /// A file of a report, if it is the one whose sum was written beside it.
    fn checked(&self, month: Month, extension: &str) -> Result<Vec<u8>, ArchiveError> {
        let (path, sums) = (self.path(month, extension), self.path(month, SUMS));
        let failed = || ArchiveError::io("read", &path);
        let written = fs::read_to_string(&sums).map_err(ArchiveError::io("read", &sums))?;
        if fs::metadata(&path).map_err(failed())?.len() > MAX_BYTES {
            return Err(ArchiveError::damaged(path.display(), "it is too large for a report".to_owned()));
        }
        let bytes = fs::read(&path).map_err(failed())?;
        let found = sum(&bytes, month, extension);
        if !written.lines().any(|line| line == found) {
            let what = format!("it is not as it was written: {} has another sum. Put it back", sums.display());
            return Err(ArchiveError::damaged(path.display(), what));
        }
        Ok(bytes)
    }

    /// What each of them says, by its month.
    pub fn invoiced(&self) -> Result<BTreeMap<Month, Months>, ArchiveError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            other => other.map_err(ArchiveError::io("list", &self.dir))?,
        };
        let mut reports = BTreeMap::new();
        for entry in entries {
            let name = entry.map_err(ArchiveError::io("list", &self.dir))?.file_name();
            if let Some(month) = name.to_str().and_then(|name| name.strip_suffix(".parquet")).and_then(Month::parse) {
                let bytes = self.checked(month, "parquet")?;
                reports.insert(month, read(&self.path(month, "parquet"), bytes.into())?);
            }
        }
        Ok(reports)
    }

    /// Writes both files of a report and, in the form of sha256sum, their sums. It is there when the Parquet file is.
    pub fn write(&self, month: Month, lines: &[Line]) -> Result<(), ArchiveError> {
        fs::create_dir_all(&self.dir).map_err(ArchiveError::io("make", &self.dir))?;
        let unfinished = ["csv.tmp", "sha256.tmp", "parquet.tmp"].map(|extension| self.path(month, extension));
        let text = csv(lines);
        write_synced(&unfinished[0], &text)?;
        let mut file = create(&unfinished[2], TABLE, &COLUMNS, VERSION)?;
        for lines in lines.chunks(ROWS) {
            file.write(&columns(lines))?;
        }
        let parquet = file.close()?.sha256;
        let csv = sum(text.as_bytes(), month, FILES[0]);
        write_synced(&unfinished[1], &format!("{csv}\n{parquet}  {month}.{}\n", FILES[1]))?;
        for (from, extension) in unfinished.iter().zip([FILES[0], SUMS, FILES[1]]) {
            let to = self.path(month, extension);
            fs::rename(from, &to).map_err(ArchiveError::io("rename to", &to))?;
        }
        sync_dir(&self.dir)
    }
}

fn write_synced(path: &Path, text: &str) -> Result<(), ArchiveError> {
    let write = File::create(path).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    write.map_err(ArchiveError::io("write", path))
}

/// A line of sha256sum.
fn sum(bytes: &[u8], month: Month, extension: &str) -> String {
    format!("{}  {month}.{extension}", hex(&Sha256::digest(bytes)))
}

fn columns(lines: &[Line]) -> Vec<Column> {
    let mut columns = fields_of(&COLUMNS);
    for line in lines {
        let (month, period) = (line.month.to_string(), line.period.to_string());
        let texts = [&month, &line.advertiser, &line.campaign, &line.currency, &period, line.kind()];
        let Spend { bills, spent_nanos, late_nanos } = line.spend;
        let numbers = [bills, spent_nanos, late_nanos, line.cents];
        columns.iter_mut().zip(texts).for_each(|(column, text)| column.bytes(text.as_bytes()));
        columns.iter_mut().skip(texts.len()).zip(numbers).for_each(|(column, number)| column.i64(number));
    }
    columns
}

/// What a report's Parquet file says of campaigns and the months they spent in.
fn read(path: &Path, bytes: Bytes) -> Result<Months, ArchiveError> {
    let damaged = |what: &dyn ToString| ArchiveError::damaged(path.display(), what.to_string());
    let expected = parse_message_type(&schema(TABLE, &COLUMNS)).map_err(|e| damaged(&e))?;
    let file = guarded(|| SerializedFileReader::new(bytes)).map_err(|e| damaged(&e))?;
    if *file.metadata().file_metadata().schema() != expected {
        return Err(damaged(&"its columns are not those of a report"));
    }
    let mut months = Months::new();
    let mut columns = fields_of(&COLUMNS);
    for group in 0..file.num_row_groups() {
        let rows = guarded(|| {
            let group = file.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX).min(ROWS);
            for (i, column) in columns.iter_mut().enumerate() {
                column.read(Some(&mut group.get_column_reader(i)?), rows)?;
            }
            Ok(rows)
        });
        for row in 0..rows.map_err(|e| damaged(&e))? {
            let (key, spend) = take(&mut columns).ok_or_else(|| damaged(&format!("line {row} is none of a report")))?;
            months.entry(key).or_default().add(spend);
        }
    }
    Ok(months)
}

/// The next row of a report's columns.
fn take(columns: &mut [Column]) -> Option<((String, Month), Spend)> {
    let [_, _, campaign, _, period, _, bills, spent, late, _] = columns else { return None };
    let campaign = std::str::from_utf8(campaign.take_bytes()?).ok()?.to_owned();
    let period = Month::parse(std::str::from_utf8(period.take_bytes()?).ok()?)?;
    let spend = Spend { bills: bills.take_i64()?, spent_nanos: spent.take_i64()?, late_nanos: late.take_i64()? };
    Some(((campaign, period), spend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Day;
    use crate::event::CampaignSet;
    use crate::ids::{CampaignNo, Currency};
    use crate::ledger::book::{CampaignBook, DayBook};
    use crate::money::Nanos;

    /// 2026-11-30; the day after is in December.
    const NOVEMBER: i32 = 20_787;

    fn books(spends: &[(&str, i32, i64, i64)]) -> Books {
        let mut books = Books::default();
        for (no, (id, day, spent, late)) in spends.iter().enumerate() {
            let campaign = CampaignNo(no as u32);
            let (id, currency) = ((*id).to_owned(), Currency::USD);
            let set = CampaignSet { campaign, id, currency, total: Nanos::MAX, daily: None, day: None, json: None };
            let mut book = CampaignBook::new(&set);
            let booked = DayBook { spent: Nanos(*spent), late: Nanos(*late), billed: 1 };
            book.days.insert(Day(*day), booked);
            books.campaigns.insert(campaign, book.into());
        }
        books
    }

    fn of(campaign: &str) -> (String, String) {
        (format!("of \"{}\", Inc", &campaign[..1]), "USD".to_owned())
    }

    fn month(text: &str) -> Month {
        Month::parse(text).unwrap()
    }

    fn report(reports: &Reports, of_month: &str, books: &Books) -> String {
        let month = month(of_month);
        let lines = lines(month, &booked(books), &reports.invoiced().unwrap(), &of);
        reports.write(month, &lines).unwrap();
        fs::read_to_string(reports.path(month, "csv")).unwrap()
    }

    #[test]
    fn what_comes_late_is_in_a_later_report_and_all_lines_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let reports = Reports::new(&dir.path().join("reports"));
        let before = books(&[("b-1", NOVEMBER, 129_999_999, 0), ("a-1", NOVEMBER, 5, 5), ("c-1", NOVEMBER + 1, 7, 0)]);
        let november = report(&reports, "2026-11", &before);
        assert_eq!(
            november,
            "month,advertiser,campaign,currency,period,kind,bills,spent_nanos,late_nanos,amount\n\
             2026-11,\"of \"\"a\"\", Inc\",a-1,USD,2026-11,spend,1,5,5,0.00\n\
             2026-11,\"of \"\"b\"\", Inc\",b-1,USD,2026-11,spend,1,129999999,0,0.12\n"
        );
        // A nano more makes it a cent more, and a campaign had no bill before.
        let after = books(&[
            ("b-1", NOVEMBER, 130_000_000, 1),
            ("a-1", NOVEMBER, 5, 5),
            ("c-1", NOVEMBER + 1, 1_000_000_007, 0),
            ("d-1", NOVEMBER, 20_000_000, 20_000_000),
        ]);
        let december = report(&reports, "2026-12", &after);
        let rows: Vec<&str> = december.lines().skip(1).map(|line| line.split_once("Inc\",").unwrap().1).collect();
        assert_eq!(
            rows,
            [
                "b-1,USD,2026-11,adjustment,0,1,1,0.01",
                "c-1,USD,2026-12,spend,1,1000000007,0,1.00",
                "d-1,USD,2026-11,adjustment,1,20000000,20000000,0.02"
            ]
        );
        // Nothing is invoiced twice.
        let january = report(&reports, "2027-01", &after);
        assert_eq!(january.lines().count(), 1, "{january}");
        // Without its files it is the same again, byte for byte, though later reports are there.
        let parquet = fs::read(reports.path(month("2026-12"), "parquet")).unwrap();
        for extension in ["csv", "parquet", "sha256"] {
            fs::remove_file(reports.path(month("2026-12"), extension)).unwrap();
        }
        assert_eq!(report(&reports, "2026-12", &after), december);
        assert_eq!(fs::read(reports.path(month("2026-12"), "parquet")).unwrap(), parquet);
    }

    #[test]
    fn months_without_a_report_are_no_adjustments() {
        let dir = tempfile::tempdir().unwrap();
        let reports = Reports::new(dir.path());
        let spends = books(&[("a-1", NOVEMBER, 50_000_000, 0), ("b-1", NOVEMBER + 1, 70_000_000, 0)]);
        assert_eq!(report(&reports, "2026-12", &spends).lines().count(), 2);
        let november = report(&reports, "2026-11", &spends);
        assert!(november.ends_with(",a-1,USD,2026-11,spend,1,50000000,0,0.05\n"), "{november}");
    }

    #[test]
    fn the_columns_are_locked() {
        let header = "month,advertiser,campaign,currency,period,kind,bills,spent_nanos,late_nanos,amount\n";
        assert_eq!(csv(&[]), header);
        let expected = "message invoice {\n  REQUIRED BYTE_ARRAY month (STRING);\n  REQUIRED BYTE_ARRAY advertiser (STRING);\n  \
             REQUIRED BYTE_ARRAY campaign (STRING);\n  REQUIRED BYTE_ARRAY currency (STRING);\n  \
             REQUIRED BYTE_ARRAY period (STRING);\n  REQUIRED BYTE_ARRAY kind (STRING);\n  REQUIRED INT64 bills;\n  \
             REQUIRED INT64 spent_nanos;\n  REQUIRED INT64 late_nanos;\n  REQUIRED INT64 amount (DECIMAL(18,2));\n}\n";
        assert_eq!(schema(TABLE, &COLUMNS), expected);
    }

    #[test]
    fn a_report_that_is_none_any_more_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let reports = Reports::new(dir.path());
        report(&reports, "2026-11", &books(&[("a-1", NOVEMBER, 50_000_000, 0)]));
        let path = reports.path(month("2026-11"), "parquet");
        let bytes = fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let fault = reports.invoiced().unwrap_err().to_string();
            assert!(fault.contains("2026-11.parquet: "), "{fault}");
        }
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let mut altered = bytes.clone();
            let at = rng.usize(..altered.len());
            altered[at] ^= 1 << rng.u8(..8);
            fs::write(&path, &altered).unwrap();
            let fault = reports.invoiced().unwrap_err().to_string();
            assert!(fault.contains("2026-11.parquet: it is not as it was written"), "{fault}");
        }
        // Both files are the report: whoever asks for it again is told which is not what it was.
        fs::write(&path, &bytes).unwrap();
        let november = month("2026-11");
        assert!(reports.has(november).unwrap() && !reports.has(month("2026-10")).unwrap());
        let csv = reports.path(november, "csv");
        fs::write(&csv, fs::read_to_string(&csv).unwrap().replace("0.05", "0.06")).unwrap();
        assert!(reports.invoiced().is_ok(), "what is billed next is said by the other");
        let fault = reports.has(november).unwrap_err().to_string();
        assert!(fault.contains("2026-11.csv: it is not as it was written"), "{fault}");
        fs::remove_file(&csv).unwrap();
        assert!(reports.has(november).unwrap_err().to_string().contains("2026-11.csv"));
        fs::remove_file(reports.path(november, SUMS)).unwrap();
        assert!(reports.invoiced().unwrap_err().to_string().contains("2026-11.sha256"));
    }
}
