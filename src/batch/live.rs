//! What a running server says of its accounts, over its admin listener.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::event::Offset;
use crate::ids::CampaignNo;
use crate::ledger::Books;
use crate::ledger::book::CampaignBook;
use crate::money::Nanos;

/// Largest answer read: the books of a hundred thousand campaigns.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
const TIMEOUT: Duration = Duration::from_secs(30);
/// A server whose accounts are behind the log for longer is stuck.
const CATCH_UP: Duration = Duration::from_secs(5);

/// A running server's admin listener.
pub struct Server {
    /// `host:port`.
    authority: String,
    token: Option<String>,
}

impl Server {
    /// From `http://host:port`.
    pub fn new(url: &str, token: Option<String>) -> Result<Server, String> {
        let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).unwrap_or("");
        if authority.is_empty() || authority.contains('/') {
            return Err(format!("{url:?} is not an address such as http://127.0.0.1:9090"));
        }
        Ok(Server { authority: authority.to_owned(), token })
    }

    /// `None` where the server says that there is nothing.
    fn get(&self, path: &str) -> Result<Option<Value>, String> {
        let fail = |e: std::io::Error| format!("http://{}{path}: {e}", self.authority);
        let mut stream = TcpStream::connect(&self.authority).map_err(fail)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(fail)?;
        let token = self.token.as_ref().map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{token}Connection: close\r\n\r\n", self.authority);
        stream.write_all(head.as_bytes()).map_err(fail)?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).map_err(fail)?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
        match head.get(..12) {
            Some("HTTP/1.1 200") => {}
            Some("HTTP/1.1 404") => return Ok(None),
            Some("HTTP/1.1 401") => {
                let hint = "the server wants its admin token: set GAVEL_ADMIN_TOKEN, or admin_token in the config";
                return Err(format!("http://{}{path}: {hint}", self.authority));
            }
            _ => {
                return Err(format!("http://{}{path}: {}", self.authority, head.lines().next().unwrap_or("no answer")));
            }
        }
        serde_json::from_str(body).map(Some).map_err(|e| format!("http://{}{path}: {e}", self.authority))
    }

    /// The accounts of campaigns, in the order of the events that they have come to. What is on the disk is applied right
    /// after: an account that has not come to `end` yet is asked for again, for a while.
    pub fn accounts(&self, of: &Books, end: Offset) -> Result<Vec<Account>, String> {
        let asked = Instant::now();
        let account = |campaign: CampaignNo, book: &CampaignBook| loop {
            let json = self.get(&format!("/v1/campaigns/{}/account", book.id))?;
            let at = json.as_ref().map_or(Some(0), |json| json["event"].as_u64());
            let at =
                at.ok_or("the server does not say which event its accounts have come to: it is of another version")?;
            if json.is_none() || at >= end.0 || asked.elapsed() > CATCH_UP {
                return Ok(Account { campaign, at: Offset(at), json });
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let accounts = of.campaigns.iter().map(|(campaign, book)| account(*campaign, book));
        let mut accounts = accounts.collect::<Result<Vec<_>, String>>()?;
        accounts.sort_by_key(|account| account.at);
        Ok(accounts)
    }
}

/// A hot account of a running server.
pub struct Account {
    campaign: CampaignNo,
    /// It is what the events before this one come to.
    pub at: Offset,
    /// `None` where the server does not know the campaign.
    json: Option<Value>,
}

impl Account {
    /// A line for each value that is not what the log comes to.
    pub fn differences(&self, log: &Books) -> Vec<String> {
        let Some(book) = log.campaigns.get(&self.campaign) else { return Vec::new() };
        let Some(account) = &self.json else { return vec![format!("{}: not known to the running server", book.id)] };
        let mut lines = Vec::new();
        let mut tell = |what: &str, by_log: String| {
            let seen = match account.pointer(&format!("/{}", what.replace(' ', "/"))) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => "none".to_owned(),
            };
            if seen != by_log {
                lines.push(format!("{}: {what}: {by_log} by the log, {seen} in the running server", book.id));
            }
        };
        tell("budget", book.total.to_string());
        tell("spent", book.spent.to_string());
        tell("late", book.late.to_string());
        tell("overspend", book.overspend().to_string());
        tell("bids", book.bids.to_string());
        tell("wins", book.wins.to_string());
        tell("billed", book.billed.to_string());
        // Only of campaigns that the server has the time zone of.
        if let Some(today) = account["daily"]["day"].as_str() {
            let spent = book.days.iter().find(|(day, _)| day.to_string() == today);
            let spent = spent.map_or(Nanos::ZERO, |(_, day)| day.spent);
            let over = book.daily.map_or(Nanos::ZERO, |budget| spent - budget).max(Nanos::ZERO);
            tell("daily budget", book.daily.map_or("none".to_owned(), |budget| budget.to_string()));
            tell("daily spent", spent.to_string());
            tell("daily overspend", over.to_string());
        }
        let money = |key: &str| account[key].as_str().and_then(|t| Nanos::parse_units(t).ok());
        match (money("held"), money("withheld")) {
            // What bids took meanwhile is counted once at most: nothing may hold more than was leased.
            (Some(held), Some(withheld)) if held.0.saturating_add(withheld.0) <= book.outstanding().0 => {}
            (Some(held), Some(withheld)) => lines.push(format!(
                "{}: {held} held and {withheld} withheld in the running server, of leases of {} by the log",
                book.id,
                book.outstanding()
            )),
            _ => lines.push(format!("{}: the running server does not say what its accounts hold", book.id)),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Slot;
    use crate::ledger::fold::tests::{fold_all, granted, set};
    use serde_json::json;

    #[test]
    fn an_account_that_holds_more_than_was_leased_is_named() {
        let books = fold_all(&[(0, set(1_000_000_000, None)), (0, granted(500_000_000, Slot::Whole))]);
        let differences = |held: &str| {
            let json = json!({
                "budget": "1.00", "spent": "0.00", "late": "0.00", "overspend": "0.00", "bids": 0, "wins": 0, "billed": 0,
                "held": held, "withheld": "0.10",
            });
            Account { campaign: CampaignNo(1), at: Offset(2), json: Some(json) }.differences(&books)
        };
        assert_eq!(differences("0.40"), [""; 0]);
        assert_eq!(
            differences("0.400000001"),
            ["c-1: 0.400000001 held and 0.10 withheld in the running server, of leases of 0.50 by the log"]
        );
        assert_eq!(differences("-0.10").len(), 1, "less than nothing");
    }
}
