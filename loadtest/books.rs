//! The comparison: the server's books must have grown by exactly what the journal billed.

use crate::admin::{Account, Admin};
use crate::journal::{Ledger, Line, Sums};
use crate::money::Rates;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// What the server has booked for one campaign, all days together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub spent: i128,
    pub late: i128,
    pub billed: u64,
}

pub type Books = HashMap<String, Book>;

/// How long the books may take to catch up.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(250);
/// Books that are equal must stay so: a bill that is booked a second time may come a moment later.
const SETTLE: Duration = Duration::from_millis(1200);
/// Accounts that are looked at, one request each.
const ACCOUNTS_LIMIT: usize = 10_000;

/// One campaign. Amounts in nanos of the campaign's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub campaign: String,
    pub currency: String,
    /// Billed and acknowledged.
    pub billed: i128,
    pub bills: u64,
    /// The part of it that cannot be late; 0 where that is not known in the campaign's currency.
    pub in_time: i128,
    /// Sent without an acknowledgement: booked or not.
    pub unknown: i128,
    pub unknown_bills: u64,
    /// What the books have grown by.
    pub booked: i128,
    pub booked_bills: i128,
    pub late: i128,
}

impl Row {
    /// How far the books are outside of what the journal allows; zero when they agree.
    pub fn difference(&self) -> i128 {
        if self.booked < self.billed {
            self.booked - self.billed
        } else {
            (self.booked - self.billed - self.unknown).max(0)
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub rows: Vec<Row>,
    pub accounts: BTreeMap<String, Account>,
    pub warnings: Vec<String>,
    /// Faults that make the run fail although the sums may agree.
    pub breaches: Vec<String>,
}

impl Comparison {
    pub fn equal(&self) -> bool {
        self.breaches.is_empty() && self.rows.iter().all(|row| row.difference() == 0)
    }

    /// (currency, billed, unknown, booked, bills) over all campaigns.
    pub fn totals(&self) -> BTreeMap<String, Row> {
        let mut totals: BTreeMap<String, Row> = BTreeMap::new();
        for row in &self.rows {
            match totals.get_mut(&row.currency) {
                None => drop(totals.insert(row.currency.clone(), row.clone())),
                Some(total) => {
                    total.billed += row.billed;
                    total.bills += row.bills;
                    total.in_time += row.in_time;
                    total.unknown += row.unknown;
                    total.unknown_bills += row.unknown_bills;
                    total.booked += row.booked;
                    total.booked_bills += row.booked_bills;
                    total.late += row.late;
                }
            }
        }
        totals
    }
}

/// Compares until the books agree and stay so, or patience runs out.
pub async fn compare(admin: &mut Admin, opening: &Books, ledger: &Ledger, rates: &Rates) -> Result<Comparison, String> {
    let mut warnings = Vec::new();
    let mut campaigns: BTreeSet<&str> = ledger.lines.keys().map(|(campaign, _)| campaign.as_str()).collect();
    campaigns.remove("");
    if campaigns.len() > ACCOUNTS_LIMIT {
        warnings.push(format!("only {ACCOUNTS_LIMIT} of {} accounts were looked at", campaigns.len()));
    }
    // Currencies do not change; the sums are read again at the end, when the books are quiet.
    let mut accounts = read_accounts(admin, &campaigns, &mut Vec::new()).await?;
    let currency_of = |accounts: &BTreeMap<String, Account>| -> HashMap<String, String> {
        accounts.iter().map(|(campaign, account)| (campaign.clone(), account.currency.clone())).collect()
    };
    let currencies = currency_of(&accounts);
    let (started, mut agreed_at) = (Instant::now(), None::<Instant>);
    let rows = loop {
        let rows = rows(opening, &admin.books().await?, ledger, &currencies, rates)?;
        if rows.iter().all(|row| row.difference() == 0) {
            let since = *agreed_at.get_or_insert_with(Instant::now);
            if since.elapsed() >= SETTLE {
                break rows;
            }
        } else {
            agreed_at = None;
            if started.elapsed() >= PATIENCE {
                break rows;
            }
        }
        tokio::time::sleep(POLL).await;
    };
    if !accounts.is_empty() {
        accounts = read_accounts(admin, &campaigns, &mut warnings).await?;
    }
    let mut breaches = Vec::new();
    for (campaign, account) in &accounts {
        // Only a late bill may take what was spent above the budget.
        if account.overspend > account.late {
            breaches.push(format!(
                "campaign {campaign} overspent {} {} of which only {} can be late bills",
                crate::money::show_units(account.overspend),
                account.currency,
                crate::money::show_units(account.late)
            ));
        }
    }
    breaches.extend(beyond_budget(&rows, &accounts));
    for row in &rows {
        let expected = i128::from(row.bills)..=i128::from(row.bills + row.unknown_bills);
        if row.difference() == 0 && !expected.contains(&row.booked_bills) {
            warnings.push(format!(
                "campaign {}: the books count {} bills, the journal {}",
                row.campaign, row.booked_bills, row.bills
            ));
        }
    }
    Ok(Comparison { rows, accounts, warnings, breaches })
}

/// Campaigns that were billed more than their budget although none of it was late, by what the journal saw itself.
fn beyond_budget(rows: &[Row], accounts: &BTreeMap<String, Account>) -> Vec<String> {
    let budget = |row: &Row| accounts.get(&row.campaign).map(|account| account.budget);
    let beyond = rows.iter().filter_map(|row| Some((row, budget(row).filter(|budget| row.in_time > *budget)?)));
    let told = beyond.map(|(row, budget)| {
        let [in_time, budget] = [row.in_time, budget].map(crate::money::show_units);
        format!("campaign {} was billed {in_time} {} in time, of a budget of {budget}", row.campaign, row.currency)
    });
    told.collect()
}

async fn read_accounts(
    admin: &mut Admin,
    campaigns: &BTreeSet<&str>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Account>, String> {
    let mut accounts = BTreeMap::new();
    for campaign in campaigns.iter().take(ACCOUNTS_LIMIT) {
        match admin.account(campaign).await? {
            Some(account) => drop(accounts.insert((*campaign).to_owned(), account)),
            None => warnings.push(format!("campaign {campaign} has no account on the server")),
        }
    }
    Ok(accounts)
}

/// Pairs the books' growth with the journal, campaign by campaign.
fn rows(
    opening: &Books,
    books: &Books,
    ledger: &Ledger,
    currencies: &HashMap<String, String>,
    rates: &Rates,
) -> Result<Vec<Row>, String> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    // Bids that name no campaign can only be compared in one sum.
    let together = ledger.lines.keys().any(|(campaign, _)| campaign.is_empty());
    let name = |campaign: &str| if together { "(all campaigns)".to_owned() } else { campaign.to_owned() };
    for ((campaign, bid_currency), line) in &ledger.lines {
        // A campaign whose account is unknown is taken to spend what it bids in.
        let currency = currencies.get(campaign).unwrap_or(bid_currency);
        let row = rows.entry(name(campaign)).or_insert_with(|| empty(name(campaign), currency));
        if row.currency != *currency {
            return Err(format!("{}: amounts in {} and {currency} cannot be added", row.campaign, row.currency));
        }
        let Line { acknowledged, unknown, in_time } = line;
        row.in_time += if currency == bid_currency { *in_time } else { 0 };
        row.billed += in_currency(acknowledged, campaign, bid_currency, currency, rates)?;
        row.bills += acknowledged.bills;
        row.unknown += in_currency(unknown, campaign, bid_currency, currency, rates)?;
        row.unknown_bills += unknown.bills;
    }
    for campaign in books.keys().chain(opening.keys()).collect::<BTreeSet<_>>() {
        let before = opening.get(campaign).copied().unwrap_or_default();
        let after = books.get(campaign).copied().unwrap_or_default();
        if before == after {
            continue;
        }
        let currency = currencies.get(campaign).map_or("?", String::as_str);
        let row = rows.entry(name(campaign)).or_insert_with(|| empty(name(campaign), currency));
        row.booked += after.spent - before.spent;
        row.late += after.late - before.late;
        row.booked_bills += i128::from(after.billed) - i128::from(before.billed);
    }
    Ok(rows.into_values().collect())
}

fn empty(campaign: String, currency: &str) -> Row {
    Row {
        campaign,
        currency: currency.to_owned(),
        billed: 0,
        bills: 0,
        in_time: 0,
        unknown: 0,
        unknown_bills: 0,
        booked: 0,
        booked_bills: 0,
        late: 0,
    }
}

fn in_currency(sums: &Sums, campaign: &str, from: &str, to: &str, rates: &Rates) -> Result<i128, String> {
    if from == to || sums.bills == 0 {
        return Ok(sums.amount);
    }
    let converted = rates.position(to).and_then(|position| sums.converted.get(position));
    converted.copied().ok_or_else(|| {
        format!("campaign {campaign} spends {to} but was billed in {from}: give --rates with the server's rates")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(rates: &Rates, bills: &[(&str, &str, i64, bool)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (campaign, currency, nanos, acknowledged) in bills {
            let line = ledger.lines.entry(((*campaign).to_owned(), (*currency).to_owned())).or_default();
            let sums = if *acknowledged { &mut line.acknowledged } else { &mut line.unknown };
            sums.add_bill(*nanos, rates.position(currency), rates);
        }
        ledger
    }

    fn books(rows: &[(&str, i128, u64)]) -> Books {
        rows.iter()
            .map(|(campaign, spent, billed)| ((*campaign).to_owned(), Book { spent: *spent, late: 0, billed: *billed }))
            .collect()
    }

    fn differences(
        opening: &[(&str, i128, u64)],
        now: &[(&str, i128, u64)],
        bills: &[(&str, &str, i64, bool)],
    ) -> Vec<i128> {
        let rates = Rates::parse(&[]).expect("rates");
        let ledger = ledger(&rates, bills);
        let rows = rows(&books(opening), &books(now), &ledger, &HashMap::new(), &rates).expect("rows");
        rows.iter().map(Row::difference).collect()
    }

    #[test]
    fn a_nano_is_seen() {
        let bills = [("a", "USD", 100, true), ("b", "USD", 50, true)];
        assert_eq!(differences(&[("a", 7, 1)], &[("a", 107, 2), ("b", 50, 1)], &bills), [0, 0]);
        assert_eq!(differences(&[("a", 7, 1)], &[("a", 108, 2), ("b", 49, 1)], &bills), [1, -1]);
        assert_eq!(differences(&[], &[("a", 100, 1), ("b", 50, 1), ("other", 5, 1)], &bills), [0, 0, 5]);
        assert_eq!(differences(&[("gone", 5, 1)], &[("a", 100, 1), ("b", 50, 1)], &bills), [0, 0, -5]);
    }

    #[test]
    fn unknown_bills_make_a_range() {
        let bills = [("a", "USD", 100, true), ("a", "USD", 30, false)];
        let at = |booked| differences(&[], &[("a", booked, 1)], &bills);
        assert_eq!([at(99), at(100), at(130), at(131)], [[-1], [0], [0], [1]]);
    }

    #[test]
    fn bids_without_a_campaign_are_compared_in_one_sum() {
        let bills = [("", "USD", 100, true), ("a", "USD", 20, true)];
        assert_eq!(differences(&[], &[("a", 70, 1), ("b", 50, 1)], &bills), [0]);
    }

    #[test]
    fn other_currencies_need_rates() {
        let rates = Rates::parse(&["EUR=1.085".to_owned()]).expect("rates");
        let bills = [("a", "EUR", 1, true), ("a", "EUR", 1_000, true)];
        let currencies = HashMap::from([("a".to_owned(), "USD".to_owned())]);
        let with = |rates: &Rates| {
            rows(&Books::new(), &books(&[("a", 2 + 1_085, 2)]), &ledger(rates, &bills), &currencies, rates)
        };
        assert_eq!(with(&rates).expect("rows")[0].difference(), 0);
        assert!(with(&Rates::parse(&[]).expect("none")).is_err());
    }

    #[test]
    fn what_was_billed_in_time_is_held_against_the_budget() {
        let rows = [Row { in_time: 11, ..empty("c-1".to_owned(), "USD") }];
        let account = |budget| Account {
            currency: "USD".to_owned(),
            budget,
            available: 0,
            reserved: 0,
            withheld: 0,
            spent: 11,
            late: 0,
            overspend: 0,
        };
        let accounts = |budget| BTreeMap::from([("c-1".to_owned(), account(budget))]);
        assert!(beyond_budget(&rows, &accounts(11)).is_empty());
        assert_eq!(beyond_budget(&rows, &accounts(10)).len(), 1);
    }
}
