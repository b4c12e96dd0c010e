//! The exchange that is played: holds the auction over an answer's bids and plans every notice that follows from it.

use crate::args::SpendOn;
use crate::journal::{Effect, Entry, Journal};
use crate::macros::{Values, substitute};
use crate::money::show_cpm;
use crate::notice::{Kind, Notice, forge};
use crate::plan::Plan;
use crate::requests::Asked;
use crate::response::{Bid, path_of};
use crate::stats::Played;
use fastrand::Rng;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const MS: u64 = 1_000_000;
/// OpenRTB loss reasons, as often as exchanges give them: outbid, below the floor, internal error, creative filtered.
const LOSS_REASONS: [&str; 8] = ["102", "102", "102", "102", "102", "100", "1", "200"];
/// Prices that book nothing and leave the reservation as it was; None leaves the macro as it stands.
const VOID_PRICES: [Option<&str>; 5] = [Some("AUDIT"), Some(""), Some("-1.50"), Some("free"), None];

pub struct Exchange {
    plan: Arc<Plan>,
    rng: Rng,
    pub journal: Journal,
    pub played: Played,
    planned: Vec<Notice>,
}

/// One bid in its auction: what its notices are made of.
struct Hand<'a> {
    bid: &'a Bid<'a>,
    asked: &'a Asked,
    currency: String,
    entry: Rc<Entry>,
    imp_ts: String,
}

impl Exchange {
    pub fn new(plan: Arc<Plan>, shard: u32, journal: Journal) -> Exchange {
        let rng = Rng::with_seed(plan.seed.wrapping_mul(31).wrapping_add(u64::from(shard)).rotate_left(17));
        Exchange { plan, rng, journal, played: Played::default(), planned: Vec::new() }
    }

    /// Holds the auction and returns the planned notices.
    pub fn play(&mut self, asked: &Asked, bids: &[Bid], now_ns: u64) -> Vec<Notice> {
        let imp_ts = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis()).to_string();
        // An imp is won once; a second bid for it loses.
        let mut taken = vec![false; asked.imps.len()];
        for bid in bids {
            let currency = self.plan.currencies[asked.currency].clone();
            let entry = self.journal.open(&bid.id, &bid.campaign, asked.currency, bid.price, asked.sent_ns);
            let hand = Hand { bid, asked, currency, entry, imp_ts: imp_ts.clone() };
            if !taken[bid.imp] && self.chance(self.plan.win_rate) {
                taken[bid.imp] = true;
                self.won(&hand, now_ns);
            } else {
                self.lost(&hand, now_ns);
            }
            if self.chance(self.plan.forged) {
                self.forged(&hand, now_ns);
            }
        }
        std::mem::take(&mut self.planned)
    }

    fn won(&mut self, hand: &Hand, now_ns: u64) {
        self.played.wins += 1;
        let price = self.clearing_price(hand.bid);
        let bill = self.chance(self.plan.bill_rate);
        let late = self.chance(self.plan.late) && (bill || self.plan.spend_on == SpendOn::Win);
        let mut win_ns = now_ns + self.between(MS, 10 * MS);
        let mut bill_ns = win_ns + self.between(0, self.plan.bill_delay_ns);
        let late_ns = now_ns + self.plan.late_after_ns + self.between(0, self.plan.late_after_ns / 5);
        // The money of a late bill is gone either way: half of them never had a win to prolong it.
        let tell_win = self.plan.spend_on == SpendOn::Win || !late || self.rng.bool();
        if late {
            self.played.late += 1;
            match self.plan.spend_on {
                SpendOn::Bill => bill_ns = late_ns,
                SpendOn::Win => {
                    win_ns = late_ns;
                    bill_ns = late_ns + self.between(0, self.plan.bill_delay_ns);
                }
            }
        } else if self.plan.reorder && bill && self.rng.u8(..10) == 0 {
            self.played.reordered += 1;
            std::mem::swap(&mut win_ns, &mut bill_ns);
        }
        if tell_win {
            self.told(hand, Kind::Win, price, win_ns);
        }
        if bill {
            self.told(hand, Kind::Bill, price, bill_ns);
        }
    }

    fn lost(&mut self, hand: &Hand, now_ns: u64) {
        self.played.losses += 1;
        if !self.chance(self.plan.loss_notice_rate) {
            return;
        }
        let reason = LOSS_REASONS[self.rng.usize(..LOSS_REASONS.len())];
        let better = show_cpm(hand.bid.price + self.rng.i64(10_000..1_000_000));
        // Exchanges may keep the winner's price to themselves.
        let price = if self.rng.bool() { better.as_str() } else { "" };
        let values = Values { price: Some(price), loss: reason, min_to_win: &better, ..hand.values() };
        let due_ns = now_ns + self.between(MS, 50 * MS);
        self.push(hand, Kind::Loss, &substitute(&hand.bid.loss, &values), Effect::Nothing, due_ns);
        if self.chance(self.plan.loss_then_bill) {
            self.played.billed_after_loss += 1;
            let booking = match self.plan.spend_on {
                SpendOn::Bill => Kind::Bill,
                SpendOn::Win => Kind::Win,
            };
            let price = self.clearing_price(hand.bid);
            let later_ns = due_ns + self.between(100 * MS, 2000 * MS);
            self.told(hand, booking, price, later_ns);
        }
    }

    /// Tells of a win or a bill at `price`. The one that books may carry an odd price.
    fn told(&mut self, hand: &Hand, kind: Kind, price: i64, due_ns: u64) {
        let books = !hand.asked.test
            && match self.plan.spend_on {
                SpendOn::Bill => kind == Kind::Bill,
                SpendOn::Win => kind == Kind::Win,
            };
        let mut effect = if books { Effect::Books(price) } else { Effect::Nothing };
        let url = if kind == Kind::Win { &hand.bid.win } else { &hand.bid.bill };
        let mut text = Some(show_cpm(price));
        if books && self.chance(self.plan.odd) {
            self.played.odd += 1;
            match self.rng.u8(..4) {
                0 => (text, effect) = (Some("0.00".to_owned()), Effect::Books(0)),
                1 => {
                    // Above the bid: the bid is booked.
                    let above = hand.bid.price + self.rng.i64(1..=hand.bid.price);
                    (text, effect) = (Some(show_cpm(above)), Effect::Books(above));
                }
                _ => {
                    if self.rng.bool() {
                        // The exchange notices and sends the true bill, too.
                        let again_ns = due_ns + self.between(MS, 500 * MS);
                        let values = Values { price: text.as_deref(), ..hand.values() };
                        self.push(hand, kind, &substitute(url, &values), effect, again_ns);
                    }
                    let void = VOID_PRICES[self.rng.usize(..VOID_PRICES.len())];
                    (text, effect) = (void.map(str::to_owned), Effect::Nothing);
                }
            }
        }
        let ratio = format!("{:.4}", price as f64 / hand.bid.price as f64);
        let values = Values { price: text.as_deref(), market_ratio: &ratio, ..hand.values() };
        self.push(hand, kind, &substitute(url, &values), effect, due_ns);
    }

    fn push(&mut self, hand: &Hand, kind: Kind, url: &str, effect: Effect, due_ns: u64) {
        // Checked when the bid was read.
        let Some(path) = path_of(url) else { return };
        let notice = Notice {
            kind,
            post: self.rng.bool(),
            path: path.to_owned(),
            due_ns,
            attempts: 0,
            maybe_received: false,
            effect,
            entry: Some(Rc::clone(&hand.entry)),
        };
        if self.chance(self.plan.duplicates) {
            self.played.duplicates += 1;
            let again_ns = match self.rng.u8(..3) {
                0 => due_ns,
                1 => due_ns + self.between(0, 5 * MS),
                _ => due_ns + self.between(50 * MS, 2000 * MS),
            };
            hand.entry.add_notice();
            self.planned.push(Notice { due_ns: again_ns, post: self.rng.bool(), ..notice.clone() });
        }
        hand.entry.add_notice();
        self.planned.push(notice);
    }

    fn forged(&mut self, hand: &Hand, now_ns: u64) {
        self.played.forged += 1;
        let price = show_cpm(self.clearing_price(hand.bid));
        let (kind, url) = match self.plan.spend_on {
            SpendOn::Bill => (Kind::Bill, &hand.bid.bill),
            SpendOn::Win => (Kind::Win, &hand.bid.win),
        };
        let url = substitute(url, &Values { price: Some(&price), ..hand.values() });
        let Some(path) = path_of(&url) else { return };
        let path = forge(path, &mut self.rng);
        let due_ns = now_ns + self.between(0, 1000 * MS);
        let post = self.rng.bool();
        self.planned.push(Notice {
            kind,
            post,
            path,
            due_ns,
            attempts: 0,
            maybe_received: false,
            effect: Effect::Nothing,
            entry: None,
        });
    }

    /// Second price: between the floor and the bid, half of them in whole cents.
    fn clearing_price(&mut self, bid: &Bid) -> i64 {
        if bid.first_price {
            return bid.price;
        }
        let floor = bid.floor.max(1);
        let price = self.rng.i64(floor..=bid.price.max(floor));
        let cents = price - price % 10_000;
        if cents >= floor && self.rng.bool() { cents } else { price }
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.rng.u64(low..=high.max(low))
    }
}

impl Hand<'_> {
    fn values(&self) -> Values<'_> {
        Values {
            auction_id: &self.asked.id,
            bid_id: &self.bid.id,
            imp_id: IMP_IDS.get(self.bid.imp).copied().unwrap_or("1"),
            seat_id: &self.bid.seat,
            ad_id: &self.bid.creative,
            price: Some(""),
            currency: &self.currency,
            market_ratio: "1",
            loss: "0",
            min_to_win: "",
            multiplier: "1",
            imp_ts: &self.imp_ts,
        }
    }
}

/// The ids of [`crate::requests::AskedImp`]s.
const IMP_IDS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Ending;
    use crate::plan::test_plan;
    use crate::requests::AskedImp;

    fn bid(price: i64, first_price: bool) -> Bid<'static> {
        Bid {
            id: "b".into(),
            seat: "s".into(),
            imp: 0,
            price,
            floor: 500_000,
            first_price,
            campaign: "c-1".into(),
            creative: "cr".into(),
            win: "https://h/n/win/tokentoken?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}".into(),
            bill: "https://h/n/bill/tokentoken?p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}".into(),
            loss: "https://h/n/loss/tokentoken?l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}".into(),
        }
    }

    /// Plays 5,000 auctions of one bid each; every notice is acknowledged.
    fn play(arguments: &[&str], test: bool) -> (Vec<Notice>, Played, u64) {
        let plan = Arc::new(test_plan(&[&["--seed", "1"], arguments].concat()).expect("plan"));
        let journal = Journal::new(&plan.currencies, &plan.rates, None);
        let mut exchange = Exchange::new(plan, 0, journal);
        let asked = Asked { id: "a".to_owned(), imps: vec![AskedImp::default()], test, ..Asked::default() };
        let mut notices = Vec::new();
        for number in 0..5000 {
            notices.extend(exchange.play(&asked, &[bid(2_000_000, number % 2 == 0)], 0));
        }
        for notice in &notices {
            if let Some(entry) = &notice.entry {
                exchange.journal.notice_ended(entry, notice.effect, Ending::Acknowledged, false);
            }
        }
        let bills = exchange.journal.into_ledger().bills();
        (notices, exchange.played, bills)
    }

    fn count(notices: &[Notice], kind: Kind) -> usize {
        notices.iter().filter(|notice| notice.kind == kind && notice.entry.is_some()).count()
    }

    #[test]
    fn shares_are_kept() {
        let (notices, played, bills) = play(&["--duplicates", "0", "--late", "0"], false);
        assert!((2300..2700).contains(&played.wins), "{played:?}");
        assert_eq!(played.wins + played.losses, 5000);
        assert_eq!(count(&notices, Kind::Win) as u64, played.wins);
        assert_eq!(count(&notices, Kind::Bill) as u64, bills);
        assert!((0.87..0.93).contains(&(bills as f64 / played.wins as f64)));
        let told = count(&notices, Kind::Loss) as f64 / played.losses as f64;
        assert!((0.77..0.83).contains(&told), "{told}");
        assert!((20..90).contains(&played.forged));
        assert_eq!(notices.iter().filter(|notice| notice.entry.is_none()).count() as u64, played.forged);
    }

    #[test]
    fn clears_between_floor_and_bid() {
        let (notices, ..) = play(&["--duplicates", "0"], false);
        let mut full = 0;
        for notice in &notices {
            if let Effect::Books(price) = notice.effect {
                assert!((500_000..=2_000_000).contains(&price));
                full += usize::from(price == 2_000_000);
                assert!(notice.path.contains(&format!("?p={}&c=USD", show_cpm(price))), "{}", notice.path);
            }
        }
        assert!(full > 1000, "first-price auctions clear at the bid");
    }

    #[test]
    fn duplicates_are_copies_and_book_once() {
        let (notices, played, bills) = play(&["--duplicates", "1", "--forged", "0", "--bill-rate", "1"], false);
        assert_eq!(notices.len() as u64, 2 * played.duplicates);
        assert_eq!(bills, played.wins);
    }

    #[test]
    fn late_bills_come_late() {
        let (notices, played, bills) = play(&["--late", "1", "--late-after", "7s", "--duplicates", "0"], false);
        assert_eq!(played.late, bills);
        assert!(notices.iter().filter(|n| n.kind == Kind::Bill && n.entry.is_some()).all(|n| n.due_ns >= 7_000 * MS));
        assert!(count(&notices, Kind::Win) < played.wins as usize);
    }

    #[test]
    fn tests_and_odd_prices_book_what_they_should() {
        let (_, _, bills) = play(&["--odd", "0.5"], true);
        assert_eq!(bills, 0, "test requests never book");
        let (notices, played, _) = play(&["--odd", "1", "--duplicates", "0", "--late", "0"], false);
        let unsubstituted = notices.iter().filter(|n| n.path.contains("${AUCTION_PRICE}")).count();
        assert!(unsubstituted > 50 && played.odd > 2000);
        assert!(notices.iter().any(|n| n.effect == Effect::Books(0) && n.path.contains("?p=0.00&")));
        assert!(notices.iter().any(|n| n.effect == Effect::Nothing && n.path.contains("?p=AUDIT&")));
    }

    #[test]
    fn spend_on_win_books_wins_only() {
        let (notices, played, bills) = play(&["--spend-on", "win", "--loss-then-bill", "1"], false);
        assert!(notices.iter().all(|notice| notice.kind == Kind::Win || notice.effect == Effect::Nothing));
        assert_eq!(bills, played.wins + played.billed_after_loss);
    }
}
