//! The generator's own account of what was billed: what the server's books must equal.
//!
//! A bid books at most once, when the first of its billing notices is answered 204. A billing notice whose answer
//! never came may or may not have booked: it counts as unknown, and the books may then lie in a range.

use crate::journal_file::JournalFile;
use crate::money::Rates;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// What the server owes the books once it has acknowledged a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// Nanos in the bid's currency.
    Books(i64),
}

/// How the sending of a notice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Answered 204.
    Acknowledged,
    /// Answered 4xx, or never written to a connection: certainly not booked.
    Void,
    /// Perhaps received, never acknowledged.
    Unknown,
}

/// A bid whose notices are still under way. Owned by these notices, so that memory follows the traffic.
#[derive(Debug)]
pub struct Entry {
    line: usize,
    bid: Box<str>,
    price: i64,
    /// When the request was sent that it answers.
    pub sent_ns: u64,
    open: Cell<u32>,
    acknowledged: Cell<Option<i64>>,
    in_time: Cell<bool>,
    unknown: Cell<Option<i64>>,
}

impl Entry {
    /// One more notice will end for this bid.
    pub fn add_notice(&self) {
        self.open.set(self.open.get() + 1);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub bills: u64,
    /// Nanos in the bid's currency.
    pub amount: i128,
    /// The same in each currency of the rates, every bill rounded up by itself; empty without rates.
    pub converted: Vec<i128>,
}

impl Sums {
    pub fn add_bill(&mut self, nanos: i64, from: Option<usize>, rates: &Rates) {
        self.bills += 1;
        self.amount += i128::from(nanos);
        if let Some(from) = from.filter(|_| rates.converts()) {
            self.converted.resize(rates.codes().count(), 0);
            for (to, sum) in self.converted.iter_mut().enumerate() {
                *sum += rates.convert_up(nanos, from, to);
            }
        }
    }

    fn merge(&mut self, other: &Sums) {
        self.bills += other.bills;
        self.amount += other.amount;
        if self.converted.len() < other.converted.len() {
            self.converted.resize(other.converted.len(), 0);
        }
        for (sum, more) in self.converted.iter_mut().zip(&other.converted) {
            *sum += more;
        }
    }
}

/// Bills of one campaign in one bid currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub acknowledged: Sums,
    pub unknown: Sums,
    /// The part of `acknowledged` that cannot be late, in nanos of the bid's currency.
    pub in_time: i128,
}

/// What a whole run billed, by campaign and bid currency.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub lines: BTreeMap<(String, String), Line>,
}

impl Ledger {
    pub fn merge(&mut self, other: Ledger) {
        for (key, line) in other.lines {
            let mine = self.lines.entry(key).or_default();
            mine.acknowledged.merge(&line.acknowledged);
            mine.unknown.merge(&line.unknown);
            mine.in_time += line.in_time;
        }
    }

    pub fn bills(&self) -> u64 {
        self.lines.values().map(|line| line.acknowledged.bills).sum()
    }

    pub fn unknown_bills(&self) -> u64 {
        self.lines.values().map(|line| line.unknown.bills).sum()
    }
}

/// The journal of one generator thread.
pub struct Journal {
    rates: Rates,
    currencies: Vec<String>,
    numbers: HashMap<Rc<str>, usize>,
    names: Vec<Rc<str>>,
    lines: Vec<Line>,
    file: Option<Arc<JournalFile>>,
}

impl Journal {
    pub fn new(currencies: &[String], rates: &Rates, file: Option<Arc<JournalFile>>) -> Journal {
        let (rates, currencies) = (rates.clone(), currencies.to_vec());
        Journal { rates, currencies, numbers: HashMap::new(), names: Vec::new(), lines: Vec::new(), file }
    }

    /// Opens the entry of a bid; `currency` is a position in the currencies of the run.
    pub fn open(&mut self, bid: &str, campaign: &str, currency: usize, price: i64, sent_ns: u64) -> Rc<Entry> {
        let number = match self.numbers.get(campaign) {
            Some(number) => *number,
            None => {
                let (number, name): (usize, Rc<str>) = (self.names.len(), campaign.into());
                self.names.push(Rc::clone(&name));
                self.numbers.insert(name, number);
                self.lines.resize(self.lines.len() + self.currencies.len(), Line::default());
                number
            }
        };
        Rc::new(Entry {
            line: number * self.currencies.len() + currency,
            // The id is only needed to write it down.
            bid: if self.file.is_some() { bid.into() } else { "".into() },
            price,
            sent_ns,
            open: Cell::new(0),
            acknowledged: Cell::new(None),
            in_time: Cell::new(false),
            unknown: Cell::new(None),
        })
    }

    /// Notes the end of one notice; with the last one the bid's money is settled. Returns a bill's money when this
    /// notice was the first to be acknowledged; `in_time` says that it then cannot be late.
    pub fn notice_ended(&mut self, entry: &Entry, effect: Effect, ending: Ending, in_time: bool) -> Option<i64> {
        let mut first = None;
        if let Effect::Books(nanos) = effect {
            // The price of a notice is not signed: the server caps it at the bid.
            let nanos = nanos.min(entry.price);
            match ending {
                Ending::Acknowledged if entry.acknowledged.get().is_none() => {
                    entry.acknowledged.set(Some(nanos));
                    entry.in_time.set(in_time);
                    first = Some(nanos);
                }
                Ending::Unknown => entry.unknown.set(Some(nanos)),
                Ending::Acknowledged | Ending::Void => {}
            }
        }
        entry.open.set(entry.open.get() - 1);
        if entry.open.get() == 0 {
            self.settle(entry);
        }
        first
    }

    fn settle(&mut self, entry: &Entry) {
        let line = &mut self.lines[entry.line];
        if let (Some(nanos), true) = (entry.acknowledged.get(), entry.in_time.get()) {
            line.in_time += i128::from(nanos);
        }
        let (sums, nanos) = match (entry.acknowledged.get(), entry.unknown.get()) {
            (Some(nanos), _) => (&mut line.acknowledged, nanos),
            (None, Some(nanos)) => (&mut line.unknown, nanos),
            (None, None) => return,
        };
        let currency = &self.currencies[entry.line % self.currencies.len()];
        sums.add_bill(nanos, self.rates.position(currency), &self.rates);
        if let Some(file) = &self.file {
            let campaign = &self.names[entry.line / self.currencies.len()];
            file.bill(&entry.bid, campaign, currency, entry.price, nanos, entry.acknowledged.get().is_some());
        }
    }

    pub fn into_ledger(self) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, campaign) in self.names.iter().enumerate() {
            for (position, currency) in self.currencies.iter().enumerate() {
                let line = self.lines[number * self.currencies.len() + position].clone();
                if line != Line::default() {
                    ledger.lines.insert((campaign.to_string(), currency.clone()), line);
                }
            }
        }
        ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let rates = Rates::parse(&["EUR=1.1".to_owned()]).expect("rates");
        Journal::new(&["USD".to_owned(), "EUR".to_owned()], &rates, None)
    }

    fn play(price: i64, notices: &[(Effect, Ending)]) -> Line {
        let mut journal = journal();
        let entry = journal.open("b", "c-1", 1, price, 0);
        notices.iter().for_each(|_| entry.add_notice());
        for (effect, ending) in notices {
            journal.notice_ended(&entry, *effect, *ending, true);
        }
        journal.into_ledger().lines.remove(&("c-1".to_owned(), "EUR".to_owned())).unwrap_or_default()
    }

    #[test]
    fn a_bid_books_once() {
        use Effect::*;
        use Ending::*;
        let line = play(5, &[(Books(3), Acknowledged), (Books(3), Acknowledged), (Nothing, Acknowledged)]);
        assert_eq!((line.acknowledged.bills, line.acknowledged.amount, line.in_time), (1, 3, 3));
        assert_eq!(line.unknown.bills, 0);
    }

    #[test]
    fn an_acknowledged_copy_settles_an_unknown_one() {
        use Effect::*;
        use Ending::*;
        for order in [[Unknown, Acknowledged], [Acknowledged, Unknown]] {
            let line = play(5, &[(Books(3), order[0]), (Books(3), order[1])]);
            assert_eq!((line.acknowledged.amount, line.unknown.bills), (3, 0));
        }
        let line = play(5, &[(Books(3), Unknown), (Books(3), Void)]);
        assert_eq!((line.acknowledged.bills, line.unknown.amount, line.in_time), (0, 3, 0));
        assert_eq!(play(5, &[(Books(3), Void), (Nothing, Unknown)]), Line::default());
    }

    #[test]
    fn a_price_above_the_bid_books_the_bid() {
        let line = play(1_000_001, &[(Effect::Books(9_000_000), Ending::Acknowledged)]);
        assert_eq!(line.acknowledged.amount, 1_000_001);
        // 1,000,001 EUR nanos at 1.1 are 1,100,001.1 USD nanos, rounded up.
        assert_eq!(line.acknowledged.converted, [1_100_002, 1_000_001]);
    }

    #[test]
    fn threads_add_up() {
        let mut total = Ledger::default();
        for _ in 0..3 {
            let mut journal = journal();
            let entry = journal.open("b", "c-1", 0, 10, 0);
            entry.add_notice();
            assert_eq!(journal.notice_ended(&entry, Effect::Books(7), Ending::Acknowledged, false), Some(7));
            total.merge(journal.into_ledger());
        }
        let line = &total.lines[&("c-1".to_owned(), "USD".to_owned())];
        assert_eq!((line.acknowledged.amount, total.bills(), total.unknown_bills()), (21, 3, 0));
    }
}
