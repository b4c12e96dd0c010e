//! Fraud checks as a shop sends them: each is made from the seed and its number alone, but for the transaction's id,
//! which is another in every run.

use crate::plan::Plan;
use fastrand::Rng;

const MERCHANTS: u32 = 50;
/// Cards, customers and devices come back: the k-th most active one is drawn in proportion to 1/sqrt(k).
const CUSTOMERS: f64 = 200_000.0;

/// What a check was, for what follows from it.
#[derive(Debug)]
pub struct Payment {
    pub merchant: String,
    pub transaction: String,
    /// The Idempotency-Key.
    pub key: String,
    pub body: Vec<u8>,
}

/// What is sent after the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Then {
    pub repeat: bool,
    pub outcome: Option<&'static str>,
    pub label: Option<&'static str>,
}

pub struct Payments {
    seed: u64,
    run: u64,
    share: f64,
    repeats: f64,
    outcomes: f64,
    labels: f64,
}

impl Payments {
    pub fn new(plan: &Plan) -> Payments {
        Payments {
            seed: plan.seed,
            run: plan.run,
            share: plan.checks,
            repeats: plan.check_repeats,
            outcomes: plan.check_outcomes,
            labels: plan.check_labels,
        }
    }

    fn rng(&self, index: u64) -> Rng {
        Rng::with_seed((self.seed ^ index.rotate_left(24)).wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// Whether request `index` is a check.
    pub fn is_one(&self, index: u64) -> bool {
        self.share > 0.0 && self.rng(index).f64() < self.share
    }

    pub fn make(&self, index: u64) -> (Payment, Then) {
        let rng = &mut self.rng(index);
        // The first number said that it is a check.
        let _ = rng.f64();
        let merchant = format!("shop-{}", rng.u32(..MERCHANTS));
        // Letters in between: digits in a row might be those of a card.
        let run = format!("{:x}r{:x}n{index:x}", self.run >> 32, self.run & 0xffff_ffff);
        let transaction = format!("order-{run}");
        let customer = (rng.f64().powi(2) * CUSTOMERS) as u64;
        // A few customers pay with other people's cards.
        let card = if rng.u8(..50) == 0 { rng.u64(..CUSTOMERS as u64) } else { customer };
        let spread = customer.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let value = if rng.u8(..20) == 0 { rng.u32(50_000..500_000) } else { rng.u32(100..20_000) };
        let (country, city) = [("DE", "Berlin"), ("FR", "Paris"), ("GB", "London"), ("US", "New York")][rng.usize(..4)];
        let body = format!(
            "{{\"type\":\"payment\",\"merchant_id\":\"{merchant}\",\"transaction_id\":\"{transaction}\",\
             \"stage\":\"authorization\",\"amount\":{{\"value\":{value},\"currency\":\"EUR\"}},\
             \"payment_method\":{{\"card\":{{\"fingerprint\":\"fp-{card:010x}\",\"bin\":\"{}\",\"last4\":\"{:04}\",\
             \"brand\":\"visa\",\"funding\":\"credit\",\"country\":\"{country}\",\"exp_month\":{},\"exp_year\":2031}}}},\
             \"customer\":{{\"id\":\"customer-{customer}\",\"email\":\"customer{customer}@mail{}.example\",\
             \"created_at\":\"2024-03-01T10:00:00Z\"}},\"terminal_id\":\"web-{}\",\
             \"billing_address\":{{\"name\":\"A Customer\",\"line1\":\"{} High Street\",\"city\":\"{city}\",\
             \"postal_code\":\"{:05}\",\"country\":\"{country}\"}},\
             \"device\":{{\"id\":\"device-{:08x}d{:08x}\",\"ip\":\"10.{}.{}.{}\",\
             \"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\",\
             \"accept_language\":\"en\"}},\"order\":{{\"id\":\"{transaction}\",\"items\":[{{\"sku\":\"sku-{}\",\
             \"quantity\":{},\"price\":{value}}}]}},\"metadata\":{{\"channel\":\"web\"}}}}",
            424_240 + card % 10,
            card % 10_000,
            rng.u8(1..=12),
            customer % 20,
            rng.u16(..300),
            1 + customer % 200,
            spread % 100_000,
            spread >> 32,
            spread & 0xffff_ffff,
            (spread >> 8) & 0xff,
            (spread >> 16) & 0xff,
            1 + (spread >> 24) % 250,
            rng.u16(..5000),
            rng.u8(1..4),
        );
        let then = Then {
            repeat: rng.f64() < self.repeats,
            outcome: (rng.f64() < self.outcomes).then(|| if rng.u8(..10) == 0 { "declined" } else { "authorized" }),
            label: (rng.f64() < self.labels).then(|| if rng.u8(..4) == 0 { "legitimate" } else { "fraud" }),
        };
        let key = format!("key-{run}");
        (Payment { merchant, transaction, key, body: body.into_bytes() }, then)
    }
}

impl Payment {
    pub fn label(&self, label: &str) -> Vec<u8> {
        format!(
            "{{\"merchant_id\":\"{}\",\"transaction_id\":\"{}\",\"label\":\"{label}\",\"source\":\"chargeback\"}}",
            self.merchant, self.transaction
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_plan;
    use serde_json::Value;

    fn payments(arguments: &[&str]) -> Payments {
        Payments::new(&test_plan(&[&["--seed", "3"], arguments].concat()).expect("plan"))
    }

    #[test]
    fn checks_are_json_and_come_back_to_the_same_cards() {
        let payments = payments(&["--checks", "1", "--check-outcomes", "0.5"]);
        let mut cards = std::collections::HashSet::new();
        let mut outcomes = 0;
        for index in 0..2000 {
            assert!(payments.is_one(index));
            let (payment, then) = payments.make(index);
            let value: Value = serde_json::from_slice(&payment.body).expect("JSON");
            assert_eq!(value["transaction_id"], payment.transaction);
            cards.insert(value["payment_method"]["card"]["fingerprint"].to_string());
            outcomes += usize::from(then.outcome.is_some());
            assert_eq!(payments.make(index).0.body, payment.body, "the same again");
            serde_json::from_slice::<Value>(&payment.label("fraud")).expect("JSON");
        }
        assert!((200..2000).contains(&cards.len()), "{}", cards.len());
        assert!((900..1100).contains(&outcomes), "{outcomes}");
    }

    #[test]
    fn a_share_of_the_requests_are_checks() {
        let some = payments(&["--checks", "0.2"]);
        let count = (0..10_000).filter(|index| some.is_one(*index)).count();
        assert!((1850..2150).contains(&count), "{count}");
        assert!(!(0..1000).any(|index| payments(&[]).is_one(index)));
    }
}
