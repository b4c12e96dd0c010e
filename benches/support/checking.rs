//! Fraud checks: 30 windows, 50 rules, a model of 100 trees, and requests each of which is another transaction.

use std::fmt::Write;

use sha2::{Digest, Sha256};

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

/// The section of the configuration that declares the windows.
pub fn windows() -> String {
    let window = |i: usize| {
        let (key, aggregate, length) = (KEYS[i % 6], AGGREGATES[i / 6], LENGTHS[i % 3]);
        format!("[[fraud.windows]]\nname = \"w_{i}\"\nkey = [{key}]\n{aggregate}\nlength = \"{length}\"\n")
    };
    (0..WINDOWS).map(window).collect()
}

pub fn rules() -> String {
    let rule = |i: usize| {
        let (a, b) = (i % WINDOWS, (i * 7 + 3) % WINDOWS);
        format!(
            "[[rules]]\nid = \"r-{i}\"\naction = \"review\"\nscore = 66\n\
             when = 'w_{a} > {} && (w_{b} > 100000000 || amount.value > 900000) && customer.email != \"x\"'\n",
            i * 1_000_000
        )
    };
    (0..RULES).map(rule).collect()
}

/// A LightGBM model whose features are the windows: its file and its manifest.
pub fn model() -> (String, String) {
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
        let _ =
            write!(manifest, "[[features]]\nname = \"{name}\"\nsource = \"window:{name}\"\ntransform = \"numeric\"\n");
    }
    (file, manifest)
}

/// The body of request number `i`, another transaction for each `number`.
pub fn body(i: usize, number: &str) -> String {
    let (card, customer, ip) = (i * 31 % 20_000, i * 17 % 10_000, i * 13 % 60_000);
    format!(
        r#"{{"type":"payment","merchant_id":"shop-{}","transaction_id":"order-{number}","stage":"authorization","amount":{{"value":{},"currency":"EUR"}},"payment_method":{{"card":{{"fingerprint":"fp_8c1f{card:08}","bin":"424242","last4":"4242","brand":"visa","funding":"credit","country":"DE","exp_month":7,"exp_year":2030}}}},"customer":{{"id":"cus_{customer:08}","email":"customer{customer}@mail{}.example","phone":"+4930{customer:07}","created_at":"2024-03-01T10:00:00Z"}},"terminal_id":"web-{}","billing_address":{{"name":"A Customer","line1":"{} High Street","city":"Berlin","postal_code":"10{:03}","country":"DE"}},"shipping_address":{{"name":"A Customer","line1":"{} High Street","city":"Berlin","postal_code":"10{:03}","country":"DE"}},"device":{{"id":"dev-{customer:08}","session_id":"ses-{number}","ip":"10.{}.{}.7","user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1","accept_language":"de-DE,de;q=0.9"}},"order":{{"id":"o-{number}","items":[{{"sku":"a-1","quantity":1,"price":4200}},{{"sku":"b-2","quantity":2,"price":700}}]}},"three_ds":{{"version":"2.2.0","eci":"05","trans_status":"Y"}},"processor":{{"avs_result":"Y","cvc_result":"M"}},"metadata":{{"channel":"web"}}}}"#,
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
    )
}
