//! The fields of a check, each by its number.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::json::keys::{LONGEST, SLOTS, Slots};
use crate::json::{Key, Name};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A text that names something and may look like anything, a card number too.
    Identifier,
    /// A whole number.
    Number,
    /// A text of so many digits, at least and at most.
    Digits(usize, usize),
    /// An instant (RFC 3339), kept as milliseconds since 1970.
    Time,
    /// A list, of which the length counts.
    List,
    /// Worked out from other fields.
    DerivedText,
    DerivedNumber,
}

impl Kind {
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Identifier | Kind::Digits(..) | Kind::DerivedText)
    }

    pub fn is_derived(self) -> bool {
        matches!(self, Kind::DerivedText | Kind::DerivedNumber)
    }
}

/// Dotted path and kind; the number of a field is its place here.
pub const FIELDS: &[(&str, Kind)] = &[
    ("type", Kind::Text),
    ("merchant_id", Kind::Identifier),
    ("transaction_id", Kind::Identifier),
    ("occurred_at", Kind::Time),
    ("stage", Kind::Text),
    ("amount.value", Kind::Number),
    ("amount.currency", Kind::Text),
    ("payment_method.card.fingerprint", Kind::Identifier),
    ("payment_method.card.bin", Kind::Digits(6, 8)),
    ("payment_method.card.last4", Kind::Digits(4, 4)),
    ("payment_method.card.brand", Kind::Text),
    ("payment_method.card.funding", Kind::Text),
    ("payment_method.card.country", Kind::Text),
    ("payment_method.card.exp_month", Kind::Number),
    ("payment_method.card.exp_year", Kind::Number),
    ("customer.id", Kind::Identifier),
    ("customer.email", Kind::Text),
    ("customer.phone", Kind::Identifier),
    ("customer.created_at", Kind::Time),
    ("terminal_id", Kind::Identifier),
    ("billing_address.name", Kind::Text),
    ("billing_address.line1", Kind::Text),
    ("billing_address.line2", Kind::Text),
    ("billing_address.city", Kind::Text),
    ("billing_address.region", Kind::Text),
    ("billing_address.postal_code", Kind::Text),
    ("billing_address.country", Kind::Text),
    ("shipping_address.name", Kind::Text),
    ("shipping_address.line1", Kind::Text),
    ("shipping_address.line2", Kind::Text),
    ("shipping_address.city", Kind::Text),
    ("shipping_address.region", Kind::Text),
    ("shipping_address.postal_code", Kind::Text),
    ("shipping_address.country", Kind::Text),
    ("device.id", Kind::Identifier),
    ("device.session_id", Kind::Identifier),
    ("device.ip", Kind::Text),
    ("device.user_agent", Kind::Text),
    ("device.accept_language", Kind::Text),
    ("order.id", Kind::Identifier),
    ("order.items", Kind::List),
    ("three_ds.version", Kind::Text),
    ("three_ds.eci", Kind::Text),
    ("three_ds.trans_status", Kind::Text),
    ("three_ds.trans_status_reason", Kind::Text),
    ("three_ds.ds_trans_id", Kind::Identifier),
    ("three_ds.acs_trans_id", Kind::Identifier),
    ("three_ds.three_ds_server_trans_id", Kind::Identifier),
    ("three_ds.authentication_value", Kind::Identifier),
    ("three_ds.challenge_cancel", Kind::Text),
    ("processor.avs_result", Kind::Text),
    ("processor.cvc_result", Kind::Text),
    ("processor.response_code", Kind::Text),
    ("customer.email_domain", Kind::DerivedText),
    ("customer.age_seconds", Kind::DerivedNumber),
    ("device.ip_prefix", Kind::DerivedText),
    ("billing_address.key", Kind::DerivedText),
    ("shipping_address.key", Kind::DerivedText),
    ("clock.hour", Kind::DerivedNumber),
    ("clock.day_of_week", Kind::DerivedNumber),
    ("clock.hour_of_week", Kind::DerivedNumber),
    ("clock.minute", Kind::DerivedNumber),
];

pub const COUNT: usize = FIELDS.len();

pub const MERCHANT: usize = at("merchant_id");
pub const TRANSACTION: usize = at("transaction_id");
pub const OCCURRED_AT: usize = at("occurred_at");
pub const AMOUNT: usize = at("amount.value");
pub const CURRENCY: usize = at("amount.currency");
pub const EXP_MONTH: usize = at("payment_method.card.exp_month");
pub const EXP_YEAR: usize = at("payment_method.card.exp_year");
pub const EMAIL: usize = at("customer.email");
pub const EMAIL_DOMAIN: usize = at("customer.email_domain");
pub const PHONE: usize = at("customer.phone");
pub const CREATED_AT: usize = at("customer.created_at");
pub const AGE_SECONDS: usize = at("customer.age_seconds");
pub const IP: usize = at("device.ip");
pub const IP_PREFIX: usize = at("device.ip_prefix");
/// Where the fields of an address begin: name, two lines, city, region, postal code, country.
pub const BILLING: usize = at("billing_address.name");
pub const SHIPPING: usize = at("shipping_address.name");
pub const BILLING_KEY: usize = at("billing_address.key");
pub const SHIPPING_KEY: usize = at("shipping_address.key");
pub const CLOCK: usize = at("clock.hour");
/// How many fields of the clock there are.
pub const CLOCKS: usize = COUNT - CLOCK;

/// The number of a field that is named here.
const fn at(path: &str) -> usize {
    let mut i = 0;
    while i < FIELDS.len() {
        if same(FIELDS[i].0.as_bytes(), path.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("no such field")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The number of a field by its path.
pub fn find(path: &str) -> Option<usize> {
    static BY_PATH: LazyLock<HashMap<&str, usize>> =
        LazyLock::new(|| FIELDS.iter().enumerate().map(|(number, (path, _))| (*path, number)).collect());
    BY_PATH.get(path).copied()
}

/// A name in a body: what stands in it, or the field that it is.
#[derive(Debug)]
pub struct Node {
    children: Vec<(&'static str, Key, Node)>,
    slots: Slots,
    /// Which child is in which slot, of those with short names and of those with long ones. Where there is none it is the
    /// first, whose name another one is not.
    places: [[u8; SLOTS]; 2],
    pub field: Option<(usize, Kind)>,
    /// What stands in it may be anything, and is nobody's business: `metadata`.
    pub open: bool,
}

impl Default for Node {
    fn default() -> Node {
        let (children, slots, places) = (Vec::new(), Slots::new(&[]), [[0; SLOTS]; 2]);
        Node { children, slots, places, field: None, open: false }
    }
}

impl Node {
    pub fn child(&self, name: &Name) -> Option<&Node> {
        if name.key == Key::NONE {
            return self.long_child(&name.text.decode());
        }
        let slot = self.slots.of(name.key) as usize;
        let place = self.places[usize::from(name.key.second != 0)][slot];
        self.children.get(usize::from(place)).filter(|(_, key, _)| *key == name.key).map(|(.., node)| node)
    }

    #[cold]
    fn long_child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|(other, ..)| *other == name).map(|(.., node)| node)
    }

    fn make(&mut self, name: &'static str) -> &mut Node {
        let at = self.children.iter().position(|(other, ..)| *other == name).unwrap_or_else(|| {
            self.children.push((name, Key::new(name.as_bytes()), Node::default()));
            self.children.len() - 1
        });
        &mut self.children[at].2
    }

    /// Gives the children their slots.
    fn lay_out(&mut self) {
        let names: Vec<&str> =
            self.children.iter().map(|(name, ..)| *name).filter(|name| name.len() <= LONGEST).collect();
        self.slots = Slots::new(&names);
        for (place, (_, key, node)) in self.children.iter_mut().enumerate() {
            if *key != Key::NONE {
                self.places[usize::from(key.second != 0)][self.slots.of(*key) as usize] = place as u8;
            }
            node.lay_out();
        }
    }
}

/// All fields that may come in a body, as it nests them.
pub static BODY: LazyLock<Node> = LazyLock::new(|| {
    let mut root = Node::default();
    for (number, (path, kind)) in FIELDS.iter().enumerate().filter(|(_, (_, kind))| !kind.is_derived()) {
        path.split('.').fold(&mut root, Node::make).field = Some((number, *kind));
    }
    root.make("metadata").open = true;
    root.lay_out();
    root
});
