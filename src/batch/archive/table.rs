//! The tables of the archive: one for each kind of event. The columns of a table are the fields of the event's
//! encoding, in their order: a row is split from the encoded bytes and joined to the same bytes again.

use parquet::data_type::{ByteArray, FixedLenByteArray};

use super::column::Column;
use crate::event;
use crate::wire::{Put, Take};

/// Version of the tables that this build writes. A column is only ever added: at the end, nullable, with the version
/// it came in.
///
/// 1. Without `model`.
/// 2. `model` of `bid`, `notice` and `track`.
/// 3. `process` of `start`; `epoch` and `sent_at` of `still_running`.
pub const VERSION: u32 = 3;

/// How a field stands in the encoding and in its column.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    U8,
    U16,
    U32,
    /// A `u32` that mostly grows along the log.
    Rising,
    U64,
    /// Zero is null.
    U32OrNone,
    /// Zero is null.
    U64OrNone,
    I64,
    /// Hundredths.
    Cents,
    /// Money; negative is null.
    NanosOrNone,
    /// Milliseconds since 1970.
    Time,
    /// Zero is null.
    TimeOrNone,
    /// Days since 1970.
    Day,
    /// `i32::MIN` is null.
    DayOrNone,
    /// A byte that numbers these words.
    Tag(&'static [&'static str]),
    /// Three letters.
    Currency,
    Text,
    /// A byte that says whether there is one, and the text.
    TextOrNone,
    Bytes,
    /// All that is left of the event, as it is encoded.
    Rest,
    /// What windows showed, as it is encoded: a count, and a tag and a value for each.
    Shown,
    Fixed(usize),
    /// No column: a byte of flags. These of them are always set.
    Flags(u8),
    /// No bytes of its own: one of the flags.
    Flag(u8),
    /// A `u32` that is there when the flag is set.
    U32IfFlag(u8),
}

#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub form: Form,
    /// The version of the tables that it came with.
    pub since: u32,
}

pub struct Table {
    pub name: &'static str,
    /// The kind byte of its events.
    pub kind: u8,
    /// Fields by and by; see [`Table::fields`].
    parts: &'static [&'static [Field]],
    /// The money column that manifests sum up.
    pub sum: Option<&'static str>,
}

/// What every row begins with.
pub const HEAD: [Field; 2] = [field("offset", Form::U64), field("at", Form::Time)];

const fn added(since: u32, name: &'static str, form: Form) -> Field {
    Field { name, form, since }
}

pub const fn field(name: &'static str, form: Form) -> Field {
    Field { name, form, since: 1 }
}

const fn table(name: &'static str, kind: u8, parts: &'static [&'static [Field]], sum: Option<&'static str>) -> Table {
    Table { name, kind, parts, sum }
}

const CAMPAIGN: Field = field("campaign", Form::U32);
const EPOCH: Field = field("epoch", Form::U32);
const AMOUNT: Field = field("amount_nanos", Form::I64);
const SLOT: Field = field("day", Form::DayOrNone);
const NAME: Field = field("name", Form::Text);
const JSON: Field = field("json", Form::Text);
const CHECK: Field = field("check", Form::Fixed(16));
const OCCURRED_AT: Field = field("occurred_at", Form::Time);

/// [`event::Facts`].
const FACTS: &[Field] = &[
    // The creative stands as a hash.
    field("flags", Form::Flags(8)),
    field("node", Form::U16),
    EPOCH,
    field("bucket", Form::Rising),
    field("seq", Form::Rising),
    CAMPAIGN,
    field("lease_seq", Form::U32),
    field("day", Form::Day),
    field("creative", Form::U32),
    field("exchange", Form::U32),
    field("bid_at", Form::Time),
    field("auction_ms", Form::U32),
    field("bill_ms", Form::U32),
    field("reserved_nanos", Form::I64),
    field("price_nanos", Form::I64),
    field("currency", Form::Currency),
    field("campaign_currency", Form::Currency),
    field("rate_nanos", Form::I64),
    field("campaign_rate_nanos", Form::I64),
    field("quantity", Form::U32),
    field("user", Form::U64),
    added(2, "model", Form::U32IfFlag(16)),
    field("daily", Form::Flag(1)),
    field("spend_on_win", Form::Flag(2)),
    field("test", Form::Flag(4)),
];

pub static TABLES: [Table; 24] = [
    table(
        "start",
        1,
        &[&[field("node", Form::U16), EPOCH, field("billable_ms", Form::I64), added(3, "process", Form::U64OrNone)]],
        None,
    ),
    table(
        "campaign_set",
        2,
        &[&[
            CAMPAIGN,
            field("id", Form::Text),
            field("currency", Form::Currency),
            field("total_nanos", Form::I64),
            field("daily_nanos", Form::NanosOrNone),
            field("json", Form::TextOrNone),
            field("day", Form::DayOrNone),
        ]],
        None,
    ),
    table("campaign_deleted", 3, &[&[CAMPAIGN]], None),
    table("lease_granted", 4, &[&[CAMPAIGN, EPOCH, field("seq", Form::Rising), SLOT, AMOUNT]], Some("amount_nanos")),
    table(
        "lease_returned",
        5,
        &[&[CAMPAIGN, EPOCH, SLOT, AMOUNT, field("why", Form::Tag(&["unused", "reclaimed"]))]],
        Some("amount_nanos"),
    ),
    table("bid", 6, &[FACTS], Some("reserved_nanos")),
    table(
        "notice",
        7,
        &[
            &[field("kind", Form::Tag(&["win", "bill", "loss"]))],
            FACTS,
            &[
                field("claim", Form::Tag(&["amount", "no_rate", "unusable"])),
                AMOUNT,
                field("excess_nanos", Form::I64),
                field("loss_reason", Form::U16),
                field("min_to_win_nanos", Form::I64),
            ],
        ],
        Some("amount_nanos"),
    ),
    table("track", 8, &[&[field("what", Form::Tag(&["impression", "click", "conversion"]))], FACTS], None),
    table("correction", 9, &[&[CAMPAIGN, field("drift_nanos", Form::I64)]], Some("drift_nanos")),
    table(
        "traffic",
        10,
        &[&[field("hour", Form::U32), field("seconds", Form::U16), field("requests", Form::U64)]],
        None,
    ),
    table("reservations_forgotten", 11, &[&[field("before", Form::U32)]], None),
    table("still_running", 12, &[&[added(3, "epoch", Form::U32OrNone), added(3, "sent_at", Form::TimeOrNone)]], None),
    table(
        "request",
        13,
        &[&[
            field("flags", Form::Flags(0)),
            field("exchange", Form::U32),
            field("decided_at", Form::Time),
            field("body", Form::Text),
            field("bids", Form::Rest),
            field("personal", Form::Flag(1)),
        ]],
        None,
    ),
    table(
        "models_set",
        20,
        &[&[
            NAME,
            field("active", Form::Text),
            field("active_digest", Form::Fixed(32)),
            field("shadow", Form::Text),
            field("shadow_digest", Form::Fixed(32)),
            field("previous", Form::Text),
            field("previous_digest", Form::Fixed(32)),
        ]],
        None,
    ),
    table("fraud_windows", 32, &[&[field("fingerprint", Form::U64), field("names", Form::Rest)]], None),
    table(
        "fraud_check",
        33,
        &[&[
            CHECK,
            field("key", Form::Fixed(16)),
            field("arrived", Form::Time),
            field("merchant", Form::Text),
            field("decision", Form::U8),
            field("windows", Form::U64),
            field("shown", Form::Shown),
            field("body", Form::Bytes),
            field("answer", Form::Bytes),
        ]],
        None,
    ),
    table(
        "fraud_outcome",
        34,
        &[&[
            CHECK,
            field("status", Form::Tag(&["authorized", "declined", "captured", "refunded", "canceled"])),
            field("response_code", Form::Text),
            OCCURRED_AT,
        ]],
        None,
    ),
    table(
        "fraud_label",
        35,
        &[&[
            CHECK,
            field("label", Form::Tag(&["legitimate", "fraud"])),
            field("source", Form::Tag(&["chargeback", "early_fraud_warning", "manual_review", "customer_report"])),
            field("reason_code", Form::Text),
            OCCURRED_AT,
            field("reported_at", Form::Time),
        ]],
        None,
    ),
    table("fraud_rules", 36, &[&[field("toml", Form::Text)]], None),
    table("fraud_list", 37, &[&[NAME, JSON]], None),
    table("fraud_list_entries", 38, &[&[NAME, JSON]], None),
    table("fraud_list_entry_removed", 39, &[&[NAME, field("value", Form::Text)]], None),
    table("fraud_file_rules", 40, &[&[field("toml", Form::Text)]], None),
    table("fraud_late", 41, &[&[CHECK, field("decision", Form::U8)]], None),
];

impl Table {
    pub fn named(name: &str) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.name == name)
    }

    pub fn of_kind(kind: u8) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.kind == kind)
    }

    /// Its fields after [`HEAD`], also those without a column.
    pub fn fields(&self) -> Vec<Field> {
        self.parts.iter().flat_map(|part| part.iter()).copied().collect()
    }

    /// All columns that tables of `version` have.
    pub fn columns(&self, version: u32) -> Vec<Field> {
        let has = |field: &Field| field.since <= version && field.form.physical().is_some();
        HEAD.into_iter().chain(self.fields()).filter(has).collect()
    }

    /// The schema of its files, in Parquet's own words.
    pub fn schema(&self, version: u32) -> String {
        schema(self.name, &self.columns(version))
    }
}

/// Columns in Parquet's own words.
pub fn schema(name: &str, columns: &[Field]) -> String {
    let line = |field: &Field| {
        let need = if field.form.is_nullable() { "OPTIONAL" } else { "REQUIRED" };
        let (physical, logical) = field.form.types();
        format!("  {need} {physical} {}{logical};\n", field.name)
    };
    format!("message {name} {{\n{}}}\n", columns.iter().map(line).collect::<String>())
}

/// What a column holds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Physical {
    I32,
    I64,
    Bool,
    Bytes,
    Fixed,
}

impl Form {
    /// `None` for what has no column.
    pub fn physical(self) -> Option<Physical> {
        Some(match self {
            Form::U8 | Form::U16 | Form::U32 | Form::Rising | Form::U32IfFlag(_) | Form::U32OrNone => Physical::I32,
            Form::Day | Form::DayOrNone => Physical::I32,
            Form::U64 | Form::I64 | Form::Cents | Form::NanosOrNone | Form::Time => Physical::I64,
            Form::U64OrNone | Form::TimeOrNone => Physical::I64,
            Form::Flag(_) => Physical::Bool,
            Form::Tag(_) | Form::Currency | Form::Text | Form::TextOrNone => Physical::Bytes,
            Form::Bytes | Form::Rest | Form::Shown => Physical::Bytes,
            Form::Fixed(_) => Physical::Fixed,
            Form::Flags(_) => return None,
        })
    }

    pub fn is_nullable(self) -> bool {
        matches!(
            self,
            Form::NanosOrNone
                | Form::DayOrNone
                | Form::TextOrNone
                | Form::U32IfFlag(_)
                | Form::U32OrNone
                | Form::U64OrNone
                | Form::TimeOrNone
        )
    }

    fn types(self) -> (String, &'static str) {
        let (physical, logical) = match self {
            Form::U8 => ("INT32", " (INTEGER(8,false))"),
            Form::U16 => ("INT32", " (INTEGER(16,false))"),
            Form::U32 | Form::Rising | Form::U32IfFlag(_) | Form::U32OrNone => ("INT32", " (INTEGER(32,false))"),
            Form::Day | Form::DayOrNone => ("INT32", " (DATE)"),
            Form::U64 | Form::U64OrNone => ("INT64", " (INTEGER(64,false))"),
            Form::I64 | Form::NanosOrNone => ("INT64", ""),
            Form::Cents => ("INT64", " (DECIMAL(18,2))"),
            Form::Time | Form::TimeOrNone => ("INT64", " (TIMESTAMP(MILLIS,true))"),
            Form::Flag(_) | Form::Flags(_) => ("BOOLEAN", ""),
            Form::Tag(_) | Form::Currency | Form::Text | Form::TextOrNone => ("BYTE_ARRAY", " (STRING)"),
            Form::Bytes | Form::Rest | Form::Shown => ("BYTE_ARRAY", ""),
            Form::Fixed(len) => return (format!("FIXED_LEN_BYTE_ARRAY ({len})"), ""),
        };
        (physical.to_owned(), logical)
    }
}

/// Splits the fields of an encoded event into its columns; `None` when they do not fit, and the columns may then differ
/// in length.
pub fn split(fields: &[Field], body: &[u8], columns: &mut [Column]) -> Option<()> {
    let mut t = Take(body);
    let mut flags = 0;
    let mut columns = columns.iter_mut();
    for field in fields {
        if let Form::Flags(_) = field.form {
            flags = t.u8()?;
            continue;
        }
        let column = columns.next()?;
        match field.form {
            Form::U8 => column.i32(i32::from(t.u8()?)),
            Form::U16 => column.i32(i32::from(t.u16()?)),
            Form::U32 | Form::Rising => column.i32(t.u32()? as i32),
            Form::U64 => column.i64(t.u64()? as i64),
            Form::I64 | Form::Cents | Form::Time => column.i64(t.i64()?),
            Form::Day => column.i32(t.i32()?),
            Form::DayOrNone => match t.i32()? {
                i32::MIN => column.null(),
                day => column.i32(day),
            },
            Form::NanosOrNone => match t.i64()? {
                nanos if nanos < 0 => column.null(),
                nanos => column.i64(nanos),
            },
            Form::U32OrNone => match t.u32()? {
                0 => column.null(),
                n => column.i32(n as i32),
            },
            Form::U64OrNone | Form::TimeOrNone => match t.i64()? {
                0 => column.null(),
                n => column.i64(n),
            },
            Form::Tag(words) => column.bytes(words.get(usize::from(t.u8()?))?.as_bytes()),
            Form::Currency => column.bytes(&t.three()?),
            Form::Text | Form::Bytes => column.bytes(t.bytes()?),
            Form::TextOrNone => match (t.u8()?, t.bytes()?) {
                (0, _) => column.null(),
                (_, text) => column.bytes(text),
            },
            Form::Rest => column.bytes(std::mem::take(&mut t.0)),
            Form::Shown => column.bytes(shown(&mut t)?),
            Form::Fixed(len) => {
                let (value, rest) = t.0.split_at_checked(len)?;
                t.0 = rest;
                column.fixed(FixedLenByteArray::from(ByteArray::from(value.to_vec())));
            }
            Form::Flag(bit) => column.bool(flags & bit != 0),
            Form::U32IfFlag(bit) if flags & bit != 0 => column.i32(t.u32()? as i32),
            Form::U32IfFlag(_) => column.null(),
            Form::Flags(_) => {}
        }
    }
    t.end()
}

/// Takes what windows showed.
fn shown<'a>(t: &mut Take<'a>) -> Option<&'a [u8]> {
    let before = t.0;
    for _ in 0..t.u32()? {
        if t.u8()? > 1 {
            t.u64()?;
        }
    }
    before.get(..before.len() - t.0.len())
}

/// Joins the next row of the columns to the encoded event that it was split from; the name of the column that does not
/// fit otherwise.
pub fn join(table: &Table, fields: &[Field], columns: &mut [Column], out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.clear();
    out.put(&[table.kind, event::newest(table.kind)]);
    let mut flags_at = 0;
    let mut columns = columns.iter_mut();
    for field in fields {
        if let Form::Flags(always) = field.form {
            flags_at = out.len();
            out.put_u8(always);
            continue;
        }
        let column = columns.next().ok_or(field.name)?;
        put(field.form, column, out, flags_at).ok_or(field.name)?;
    }
    Ok(())
}

fn put(form: Form, column: &mut Column, out: &mut Vec<u8>, flags_at: usize) -> Option<()> {
    if form.is_nullable() && column.take_null() {
        match form {
            Form::DayOrNone => out.put_i32(i32::MIN),
            Form::NanosOrNone => out.put_i64(-1),
            Form::TextOrNone => out.put(&[0; 5]),
            Form::U32OrNone => out.put_u32(0),
            Form::U64OrNone | Form::TimeOrNone => out.put_u64(0),
            // Its flag stays unset.
            _ => {}
        }
        return Some(());
    }
    match form {
        Form::U8 => out.put_u8(u8::try_from(column.take_i32()?).ok()?),
        Form::U16 => out.put_u16(u16::try_from(column.take_i32()?).ok()?),
        Form::U32 | Form::U32OrNone | Form::Rising | Form::Day | Form::DayOrNone => out.put_i32(column.take_i32()?),
        Form::U64 | Form::U64OrNone | Form::I64 | Form::Cents | Form::NanosOrNone => out.put_i64(column.take_i64()?),
        Form::Time | Form::TimeOrNone => out.put_i64(column.take_i64()?),
        Form::Tag(words) => {
            let word = column.take_bytes()?;
            out.put_u8(words.iter().position(|known| known.as_bytes() == word)? as u8);
        }
        Form::Currency => out.put(&<[u8; 3]>::try_from(column.take_bytes()?).ok()?),
        Form::Text | Form::Bytes => out.put_bytes(column.take_bytes()?),
        Form::TextOrNone => {
            out.put_u8(1);
            out.put_bytes(column.take_bytes()?);
        }
        Form::Rest | Form::Shown => out.put(column.take_bytes()?),
        Form::Fixed(len) => out.put(column.take_fixed().filter(|value| value.len() == len)?),
        Form::Flag(bit) if column.take_bool()? => *out.get_mut(flags_at)? |= bit,
        Form::U32IfFlag(bit) => {
            out.put_i32(column.take_i32()?);
            *out.get_mut(flags_at)? |= bit;
        }
        Form::Flag(_) | Form::Flags(_) => {}
    }
    Some(())
}
