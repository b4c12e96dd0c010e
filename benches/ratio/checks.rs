//! Fraud checks: 30 windows, 50 rules, a model of 100 trees, and requests each of which is another transaction.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::client::{NUMBER, REQUESTS};
use crate::disturbed::call;

const WINDOWS: usize = 30;
const RULES: usize = 50;
const TREES: usize = 100;
const LEAVES: usize = 31;

const KEYS: [&str; 6] = [
    "\"payment_method.card.fingerprint\"",
    "\"customer.id\"",
    "\"device.ip\"",
    "\"device.id\"",
    "\"terminal_id\"",
    "\"payment_method.card.fingerprint\", \"merchant_id\"",
];
const AGGREGATES: [&str; 5] = [
    "aggregate = \"count\"",
    "aggregate = \"sum\"\nvalue = \"amount.value\"",
    "aggregate = \"avg\"\nvalue = \"amount.value\"",
    "aggregate = \"count\"\nwhere = \"declined\"",
    "aggregate = \"max\"\nvalue = \"amount.value\"",
];
const LENGTHS: [&str; 3] = ["1h", "1d", "30d"];

/// Appends what gavel needs to be configured with, and writes rules and model.
pub fn prepare(dir: &Path) -> Result<(), Error> {
    let mut config = "[fraud]\nrules = \"rules.toml\"\ndeadline_ms = 60000\n".to_owned();
    for i in 0..WINDOWS {
        let (key, aggregate, length) = (KEYS[i % 6], AGGREGATES[i / 6], LENGTHS[i % 3]);
        write!(config, "[[fraud.windows]]\nname = \"w_{i}\"\nkey = [{key}]\n{aggregate}\nlength = \"{length}\"\n")?;
    }
    let file = dir.join("gavel.toml");
    fs::write(&file, fs::read_to_string(&file)? + &config)?;
    let mut rules = String::new();
    for i in 0..RULES {
        let (a, b) = (i % WINDOWS, (i * 7 + 3) % WINDOWS);
        write!(
            rules,
            "[[rules]]\nid = \"r-{i}\"\naction = \"review\"\nscore = 66\n\
             when = 'w_{a} > {} && (w_{b} > 100000000 || amount.value > 900000) && customer.email != \"x\"'\n",
            i * 1_000_000
        )?;
    }
    fs::write(dir.join("rules.toml"), rules)?;
    model(&dir.join("data/models/fraud/1"))
}

/// A LightGBM model whose features are the windows.
fn model(dir: &Path) -> Result<(), Error> {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut trees = Vec::new();
    for number in 0..TREES {
        let inner = LEAVES - 1;
        let child = |at: usize| if at < inner { at as i64 } else { inner as i64 - at as i64 - 1 };
        let list = |items: Vec<String>| items.join(" ");
        trees.push(format!(
            "Tree={number}\nnum_leaves={LEAVES}\nnum_cat=0\nsplit_feature={}\nthreshold={}\ndecision_type={}\n\
             left_child={}\nright_child={}\nleaf_value={}\nis_linear=0\nshrinkage=1\n\n\n",
            list((0..inner).map(|_| rng.usize(..WINDOWS).to_string()).collect()),
            list((0..inner).map(|_| (rng.u32(..4_000) as f64 / 8.0).to_string()).collect()),
            list((0..inner).map(|_| "8".to_owned()).collect()),
            list((0..inner).map(|at| child(2 * at + 1).to_string()).collect()),
            list((0..inner).map(|at| child(2 * at + 2).to_string()).collect()),
            list((0..LEAVES).map(|_| (rng.i32(-100..60) as f64 / 1e3).to_string()).collect()),
        ));
    }
    let names: Vec<String> = (0..WINDOWS).map(|i| format!("w_{i}")).collect();
    let sizes: Vec<String> = trees.iter().map(|tree| tree.len().to_string()).collect();
    let file = format!(
        "tree\nversion=v3\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={}\n\
         objective=binary sigmoid:1\nfeature_names={}\nfeature_infos={}\ntree_sizes={}\n\n{}end of trees\n",
        WINDOWS - 1,
        names.join(" "),
        vec!["[0:100]"; WINDOWS].join(" "),
        sizes.join(" "),
        trees.concat()
    );
    let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut manifest = format!(
        "name = \"fraud\"\nversion = \"1\"\nkind = \"lightgbm\"\nfile = \"model.txt\"\nsha256 = \"{digest}\"\n\
         output = \"probability\"\n"
    );
    for name in &names {
        write!(manifest, "[[features]]\nname = \"{name}\"\nsource = \"window:{name}\"\ntransform = \"numeric\"\n")?;
    }
    fs::create_dir_all(dir)?;
    fs::write(dir.join("model.txt"), file)?;
    fs::write(dir.join("manifest.toml"), manifest)?;
    Ok(())
}

pub fn activate(admin: SocketAddr) -> Result<(), Error> {
    call(&mut TcpStream::connect(admin)?, "POST /v1/models/fraud/1/activate", "")?;
    Ok(())
}

/// The requests, as bytes to be sent once a number is in place of [`NUMBER`].
pub fn requests() -> Rc<[Vec<u8>]> {
    let whole = |i: usize| {
        let (card, customer, ip) = (i * 31 % 20_000, i * 17 % 10_000, i * 13 % 60_000);
        let body = format!(
            r#"{{"type":"payment","merchant_id":"shop-{}","transaction_id":"order-{NUMBER}","stage":"authorization","amount":{{"value":{},"currency":"EUR"}},"payment_method":{{"card":{{"fingerprint":"fp_8c1f{card:08}","bin":"424242","last4":"4242","brand":"visa","funding":"credit","country":"DE","exp_month":7,"exp_year":2030}}}},"customer":{{"id":"cus_{customer:08}","email":"customer{customer}@mail{}.example","phone":"+4930{customer:07}","created_at":"2024-03-01T10:00:00Z"}},"terminal_id":"web-{}","billing_address":{{"name":"A Customer","line1":"{} High Street","city":"Berlin","postal_code":"10{:03}","country":"DE"}},"shipping_address":{{"name":"A Customer","line1":"{} High Street","city":"Berlin","postal_code":"10{:03}","country":"DE"}},"device":{{"id":"dev-{customer:08}","session_id":"ses-{NUMBER}","ip":"10.{}.{}.7","user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1","accept_language":"de-DE,de;q=0.9"}},"order":{{"id":"o-{NUMBER}","items":[{{"sku":"a-1","quantity":1,"price":4200}},{{"sku":"b-2","quantity":2,"price":700}}]}},"three_ds":{{"version":"2.2.0","eci":"05","trans_status":"Y"}},"processor":{{"avs_result":"Y","cvc_result":"M"}},"metadata":{{"channel":"web"}}}}"#,
            i % 50,
            100 + i * 7 % 20_000,
            i % 20,
            i % 300,
            i % 200,
            i % 999,
            i % 200,
            i % 999,
            ip / 250,
            ip % 250,
        );
        let head = format!(
            "POST /v1/fraud/checks HTTP/1.1\r\nhost: bidder.example\r\ncontent-type: application/json\r\n\
             idempotency-key: order-{NUMBER}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        (head + &body).into_bytes()
    };
    (0..REQUESTS).map(whole).collect()
}
