//! The windows against the features of the Fraud Detection Handbook (chapter 3, "Baseline feature transformation"), which
//! were worked out by pandas: 1.17 million simulated transactions, twelve windows each. The data is not part of the
//! project: name the folder of `transactions.parquet` and `features.parquet` in GAVEL_HANDBOOK.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use gavel::clock::UnixMs;
use gavel::window::sliding::{Aggregate, Event, Field, Limits, Outcome, Plan, Scratch, Spec, Value, Windows};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::Int32Type;
use parquet::file::reader::{FileReader, SerializedFileReader};

const DAY_MS: i64 = 86_400_000;
/// 2018-04-01T00:00:00Z, where the simulation begins.
const START_MS: i64 = 1_522_540_800_000;

/// Ten pairs of transactions of one customer in the same second: of these, pandas counts one in the other's window by
/// their order in the file, and we both, as the window's definition says.
const SAME_SECOND: [i32; 20] = [
    121_453, 121_454, 163_831, 163_832, 174_806, 174_807, 619_758, 619_759, 1_240_489, 1_240_490, 1_350_833, 1_350_834,
    1_472_490, 1_472_491, 1_553_976, 1_553_977, 1_633_924, 1_633_926, 1_653_669, 1_653_670,
];

/// The columns and their names' windows in the order in which the file has them.
fn specs() -> Vec<(&'static str, Spec)> {
    let customer = |days, aggregate, field| {
        let length_ms = days * DAY_MS;
        Spec { key: 0, aggregate, field, length_ms, delay_ms: 0, selects: Outcome::TOTAL }
    };
    let terminal = |days, selects| {
        let length_ms = days * DAY_MS;
        Spec { key: 1, aggregate: Aggregate::Count, field: None, length_ms, delay_ms: 7 * DAY_MS, selects }
    };
    vec![
        ("c_n_1d", customer(1, Aggregate::Count, None)),
        ("c_sum_cents_1d", customer(1, Aggregate::Sum, Some(0))),
        ("t_n_1d", terminal(1, Outcome::TOTAL)),
        ("t_fraud_1d", terminal(1, Outcome::FRAUD)),
        ("c_n_7d", customer(7, Aggregate::Count, None)),
        ("c_sum_cents_7d", customer(7, Aggregate::Sum, Some(0))),
        ("t_n_7d", terminal(7, Outcome::TOTAL)),
        ("t_fraud_7d", terminal(7, Outcome::FRAUD)),
        ("c_n_30d", customer(30, Aggregate::Count, None)),
        ("c_sum_cents_30d", customer(30, Aggregate::Sum, Some(0))),
        ("t_n_30d", terminal(30, Outcome::TOTAL)),
        ("t_fraud_30d", terminal(30, Outcome::FRAUD)),
    ]
}

fn folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/fraud");
    let folder = env::var_os("GAVEL_HANDBOOK").map_or_else(beside, PathBuf::from);
    folder.join("features.parquet").exists().then_some(folder)
}

fn column(file: &Path, name: &str) -> Vec<i32> {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr();
    let at = (0..schema.num_columns()).find(|i| schema.column(*i).name() == name).expect(name);
    let mut values = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).unwrap();
        let rows = group.metadata().num_rows() as usize;
        let mut column = get_typed_column_reader::<Int32Type>(group.get_column_reader(at).unwrap());
        let before = values.len();
        while values.len() < before + rows {
            let mut levels = Vec::new();
            let (_, read, _) = column.read_records(rows, Some(&mut levels), None, &mut values).unwrap();
            assert!(read > 0, "{name} has no value in some row");
        }
    }
    values
}

#[test]
fn every_window_of_every_transaction_is_the_references() {
    let Some(folder) = folder() else {
        println!("skipped: no handbook data; name its folder in GAVEL_HANDBOOK");
        return;
    };
    let transactions = folder.join("transactions.parquet");
    let [ids, seconds, customers, terminals, cents, frauds] =
        ["tx_id", "t_sec", "customer_id", "terminal_id", "amount_cents", "fraud"]
            .map(|name| column(&transactions, name));
    let (names, specs): (Vec<_>, Vec<_>) = specs().into_iter().unzip();
    let expected: Vec<Vec<i32>> = names.iter().map(|name| column(&folder.join("features.parquet"), name)).collect();
    let limits = Limits { max_bytes: 256 << 20, max_events_per_key: 100_000, late_ms: 0 };
    let windows = Windows::new(Plan::new(2, &[Field::Money], &specs).unwrap(), limits);
    let (mut scratch, mut out) = (Scratch::default(), vec![Value::Null; specs.len()]);
    let (mut different, mut excused) = (0, 0);
    let mut most = windows.stats();
    for row in 0..ids.len() {
        let outcome = if frauds[row] == 1 { Outcome::FRAUD } else { Outcome::TOTAL };
        let event = Event {
            at: UnixMs(START_MS + i64::from(seconds[row]) * 1_000),
            keys: &[Some(customers[row] as u64), Some(terminals[row] as u64)],
            fields: &[Some(i64::from(cents[row]))],
            currency: 0,
            outcome,
        };
        windows.observe(&event, &mut scratch, &mut out);
        for (name, (shown, expected)) in names.iter().zip(out.iter().zip(&expected)) {
            if *shown == Value::Int(i64::from(expected[row])) {
                continue;
            }
            if SAME_SECOND.contains(&ids[row]) {
                excused += 1;
                continue;
            }
            different += 1;
            if different < 20 {
                println!("transaction {}: {name} is {}, not {shown:?}", ids[row], expected[row]);
            }
        }
        if row % 100_000 == 0 {
            most = windows.stats();
        }
    }
    let each = most.bytes as f64 / most.events as f64;
    println!(
        "{} transactions, 12 windows: {different} cells differ, {excused} in pairs of the same second; {} keys hold {} \
         events in {} bytes, {each:.1} each, keys included",
        ids.len(),
        most.keys,
        most.events,
        most.bytes
    );
    assert_eq!(different, 0);
    assert_eq!(most.evicted_keys, 0);
}
