//! The journal on disk: JSON lines, so that books can be compared again later, e.g. after the server's restart.
//!
//! Each run appends `{"run":{...}}` with the books it found, one `{"bill":{...}}` per bid that booked or may have,
//! and `{"end":{...}}`. A comparison counts from the books that the first run found.

use crate::books::{Book, Books};
use crate::journal::Ledger;
use crate::money::{Rates, parse_cpm, parse_units, show_cpm, show_units};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record<'a> {
    Run {
        seed: u64,
        opening: Vec<Opening>,
    },
    #[serde(borrow)]
    Bill(Bill<'a>),
    End {
        bills: u64,
        unknown: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Opening {
    campaign: String,
    spent: String,
    late: String,
    billed: u64,
}

/// Prices are CPM, as in the bid and in its notice.
#[derive(Serialize, Deserialize)]
struct Bill<'a> {
    #[serde(borrow)]
    bid: Cow<'a, str>,
    #[serde(borrow)]
    campaign: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    price: String,
    billed: String,
    acknowledged: bool,
}

pub struct JournalFile {
    // The first write error is kept and reported at the end: a journal that is not whole must not look whole.
    writer: Mutex<(BufWriter<File>, Option<std::io::Error>)>,
}

impl JournalFile {
    pub fn append(path: &Path, seed: u64, opening: &Books) -> std::io::Result<JournalFile> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A run that was killed left half a line.
                file.write_all(b"\n")?;
            }
        }
        let journal = JournalFile { writer: Mutex::new((BufWriter::new(file), None)) };
        let opening = opening.iter().map(|(campaign, book)| Opening {
            campaign: campaign.clone(),
            spent: show_units(book.spent),
            late: show_units(book.late),
            billed: book.billed,
        });
        journal.write(&Record::Run { seed, opening: opening.collect() });
        Ok(journal)
    }

    pub fn bill(&self, bid: &str, campaign: &str, currency: &str, price: i64, billed: i64, acknowledged: bool) {
        self.write(&Record::Bill(Bill {
            bid: bid.into(),
            campaign: campaign.into(),
            currency: currency.into(),
            price: show_cpm(price),
            billed: show_cpm(billed),
            acknowledged,
        }));
    }

    pub fn end(&self, ledger: &Ledger) -> Result<(), String> {
        self.write(&Record::End { bills: ledger.bills(), unknown: ledger.unknown_bills() });
        let mut guard = self.writer.lock().map_err(|_| "a thread died while writing the journal".to_owned())?;
        let result = match guard.1.take() {
            Some(error) => Err(error),
            None => guard.0.flush(),
        };
        result.map_err(|error| format!("the journal is not whole: {error}"))
    }

    fn write(&self, record: &Record) {
        // A poisoned lock means that a thread panicked, which ends the run with an error anyway.
        let Ok(mut guard) = self.writer.lock() else { return };
        let (writer, failure) = &mut *guard;
        let written =
            serde_json::to_writer(&mut *writer, record).map_err(Into::into).and_then(|()| writer.write_all(b"\n"));
        if let (Err(error), None) = (written, &failure) {
            *failure = Some(error);
        }
    }
}

/// Journals of earlier runs, added up.
#[derive(Debug, Default)]
pub struct Earlier {
    pub runs: u64,
    pub opening: Books,
    pub ledger: Ledger,
    /// What makes the comparison less than certain.
    pub warnings: Vec<String>,
}

pub fn read(path: &Path, rates: &Rates) -> Result<Earlier, String> {
    let name = path.display();
    let file = File::open(path).map_err(|error| format!("cannot open {name}: {error}"))?;
    let (mut earlier, mut running) = (Earlier::default(), false);
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| format!("cannot read {name}: {error}"))?;
        let at = format!("{name}:{}", number + 1);
        match serde_json::from_str(&line) {
            Ok(Record::Run { seed: _, opening }) => {
                if running {
                    earlier.warnings.push(format!("{at}: the run before this line did not end: bills may be missing"));
                }
                running = true;
                earlier.runs += 1;
                if earlier.runs == 1 {
                    for row in opening {
                        let (spent, late) = (parse_units(&row.spent), parse_units(&row.late));
                        let (Some(spent), Some(late)) = (spent, late) else {
                            return Err(format!("{at}: an opening amount is not money"));
                        };
                        earlier.opening.insert(row.campaign, Book { spent, late, billed: row.billed });
                    }
                }
            }
            Ok(Record::Bill(bill)) => {
                let billed =
                    parse_cpm(&bill.billed).ok_or_else(|| format!("{at}: {:?} is not a price", bill.billed))?;
                let from = rates.position(&bill.currency);
                let line = earlier.ledger.lines.entry((bill.campaign.into(), bill.currency.into())).or_default();
                let sums = if bill.acknowledged { &mut line.acknowledged } else { &mut line.unknown };
                sums.add_bill(billed, from, rates);
            }
            Ok(Record::End { .. }) => running = false,
            Err(error) => earlier.warnings.push(format!("{at}: not a journal line ({error}): a bill may be missing")),
        }
    }
    if running {
        earlier.warnings.push(format!("{name}: the last run did not end: bills may be missing"));
    }
    if earlier.runs == 0 {
        return Err(format!("{name} holds no run"));
    }
    Ok(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Effect, Ending, Journal};
    use std::sync::Arc;

    fn append(path: &Path, opening: &Books) {
        let rates = Rates::parse(&[]).expect("rates");
        let file = Arc::new(JournalFile::append(path, 1, opening).expect("file"));
        let mut journal = Journal::new(&["USD".to_owned()], &rates, Some(Arc::clone(&file)));
        for (price, ending) in
            [(2_500_001, Ending::Acknowledged), (1_000_000, Ending::Unknown), (9_000_000, Ending::Void)]
        {
            let entry = journal.open("b\"1", "c-1", 0, 3_000_000, 0);
            entry.add_notice();
            journal.notice_ended(&entry, Effect::Books(price), ending, false);
        }
        file.end(&journal.into_ledger()).expect("end");
    }

    #[test]
    fn runs_add_up_from_the_first_opening() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("run.jsonl");
        let book = |spent| Books::from([("c-1".to_owned(), Book { spent, late: 1, billed: 2 })]);
        append(&path, &book(5));
        append(&path, &book(99));
        let earlier = read(&path, &Rates::parse(&[]).expect("rates")).expect("read");
        assert_eq!((earlier.runs, earlier.opening["c-1"].spent), (2, 5));
        let line = &earlier.ledger.lines[&("c-1".to_owned(), "USD".to_owned())];
        assert_eq!((line.acknowledged.amount, line.acknowledged.bills), (5_000_002, 2));
        assert_eq!((line.unknown.amount, line.unknown.bills), (2_000_000, 2));
        assert!(earlier.warnings.is_empty(), "{:?}", earlier.warnings);
    }

    #[test]
    fn a_killed_run_is_noticed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("run.jsonl");
        append(&path, &Books::new());
        let whole = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, &whole[..whole.len() - 20]).expect("cut");
        append(&path, &Books::new());
        let earlier = read(&path, &Rates::parse(&[]).expect("rates")).expect("read");
        assert_eq!((earlier.runs, earlier.warnings.len()), (2, 2), "{:?}", earlier.warnings);
        std::fs::write(&path, "").expect("empty");
        assert!(read(&path, &Rates::parse(&[]).expect("rates")).is_err());
    }
}
