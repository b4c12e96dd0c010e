//! The server's admin listener: its books and accounts.

use crate::books::{Book, Books};
use crate::link::Link;
use crate::macros::push_encoded;
use crate::money::parse_units;
use crate::plan::AdminPlan;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use serde::Deserialize;
use std::time::Duration;

/// The books of 100,000 campaigns may take a while to render.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Admin {
    plan: AdminPlan,
    link: Link,
}

#[derive(Deserialize)]
struct BookRow {
    campaign: String,
    spent: String,
    #[serde(default)]
    late: Option<String>,
    #[serde(default)]
    billed: u64,
}

/// The hot view of one campaign; money in nanos of its currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub currency: String,
    pub budget: i128,
    pub available: i128,
    pub reserved: i128,
    pub withheld: i128,
    pub spent: i128,
    pub late: i128,
    pub overspend: i128,
}

#[derive(Deserialize)]
struct AccountView {
    currency: String,
    #[serde(default)]
    budget: Option<String>,
    #[serde(default)]
    available: Option<String>,
    #[serde(default)]
    reserved: Option<String>,
    #[serde(default)]
    withheld: Option<String>,
    spent: String,
    #[serde(default)]
    late: Option<String>,
    overspend: String,
}

impl Admin {
    pub fn new(plan: AdminPlan) -> Admin {
        let link = Link::new(plan.endpoint.addr);
        Admin { plan, link }
    }

    async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let failed = |error: &dyn std::fmt::Display| format!("GET {path}: {error}");
        let mut request = Request::new(Full::default());
        *request.uri_mut() = path.parse::<Uri>().map_err(|error| failed(&error))?;
        let host = HeaderValue::from_str(&self.plan.endpoint.host).map_err(|error| failed(&error))?;
        request.headers_mut().insert(HOST, host);
        if let Some(token) = &self.plan.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| failed(&error))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        self.link.call(request, TIMEOUT).await.map_err(|error| failed(&error))
    }

    /// The books, days added up.
    pub async fn books(&mut self) -> Result<Books, String> {
        match self.get("/v1/books").await? {
            (StatusCode::OK, body) => parse_books(&body),
            (status, _) => Err(format!("GET /v1/books: answered {status}")),
        }
    }

    /// None when the server does not know the campaign.
    pub async fn account(&mut self, campaign: &str) -> Result<Option<Account>, String> {
        let mut path = "/v1/campaigns/".to_owned();
        push_encoded(&mut path, campaign);
        path.push_str("/account");
        match self.get(&path).await? {
            (StatusCode::OK, body) => parse_account(&body).map(Some).map_err(|error| format!("GET {path}: {error}")),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, _) => Err(format!("GET {path}: answered {status}")),
        }
    }
}

fn parse_books(body: &[u8]) -> Result<Books, String> {
    let rows: Vec<BookRow> = serde_json::from_slice(body).map_err(|error| format!("GET /v1/books: {error}"))?;
    let mut books = Books::new();
    for row in rows {
        let wrong = |name: &str| format!("GET /v1/books: {name} of {} is not a decimal string", row.campaign);
        let spent = parse_units(&row.spent).ok_or_else(|| wrong("spent"))?;
        let late = row.late.as_deref().map_or(Some(0), parse_units).ok_or_else(|| wrong("late"))?;
        let book = books.entry(row.campaign).or_default();
        *book = Book { spent: book.spent + spent, late: book.late + late, billed: book.billed + row.billed };
    }
    Ok(books)
}

fn parse_account(body: &[u8]) -> Result<Account, String> {
    let view: AccountView = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let money = |name: &str, text: Option<&str>| {
        text.map_or(Some(0), parse_units).ok_or_else(|| format!("{name} is not a decimal string"))
    };
    Ok(Account {
        budget: money("budget", view.budget.as_deref())?,
        available: money("available", view.available.as_deref())?,
        reserved: money("reserved", view.reserved.as_deref())?,
        withheld: money("withheld", view.withheld.as_deref())?,
        spent: money("spent", Some(&view.spent))?,
        late: money("late", view.late.as_deref())?,
        overspend: money("overspend", Some(&view.overspend))?,
        currency: view.currency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_add_up_exactly() {
        let books = parse_books(
            br#"[{"campaign":"c","day":"2026-01-01","spent":"0.1","late":"0.00","billed":1},
                 {"campaign":"c","day":"2026-01-02","spent":"0.200000001","late":"0.05","billed":2}]"#,
        )
        .expect("books");
        assert_eq!(books["c"], Book { spent: 300_000_001, late: 50_000_000, billed: 3 });
        assert!(parse_books(br#"[{"campaign":"c","spent":0.1}]"#).is_err(), "a float is not money");
        assert!(parse_books(br#"[{"campaign":"c","spent":"0.1234567891"}]"#).is_err());
    }
}
