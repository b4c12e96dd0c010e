//! The model `fraud` in a decision.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::desk::{check, decide, start};
use crate::http::Answer;
use crate::models::tar;
use crate::process::{errors_of, run};
use crate::server::Server;

/// Adds a tenth of the window and a thousandth of the amount, and 0.5 where the country is Germany.
pub fn put(server: &Server, version: &str, bias: f64) {
    let answer = try_put(server, version, bias, "window:card_count_1h", "probability");
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

fn try_put(server: &Server, version: &str, bias: f64, window: &str, output: &str) -> Answer {
    let file = json!({
        "format": "gavel-linear-1", "objective": "logistic", "bias": bias,
        "columns": [{"name": "count", "weight": 0.1}, {"name": "amount", "weight": 0.001, "missing": 9.0}],
    })
    .to_string();
    let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let feature = |name: &str, source: &str| {
        format!("[[features]]\nname = \"{name}\"\nsource = \"{source}\"\ntransform = \"numeric\"\n")
    };
    let manifest = format!(
        "name = \"fraud\"\nversion = \"{version}\"\nkind = \"linear\"\nfile = \"weights.json\"\nsha256 = \"{digest}\"\n\
         output = \"{output}\"\n{}{}",
        feature("count", window),
        feature("amount", "amount.value"),
    );
    let files = [("manifest.toml".to_owned(), manifest.into_bytes()), ("weights.json".to_owned(), file.into_bytes())];
    server.ask("PUT", &format!("/v1/models/fraud/{version}"), &tar(&files))
}

#[test]
fn what_is_no_model_of_fraud_is_refused_by_name() {
    let server = start("");
    for (window, output, part) in [
        ("window:not_declared", "probability", "window:not_declared"),
        ("window:card_count_1h", "margin", "must be \\\"probability\\\""),
        ("window:card_count_1h", "value", "must be \\\"probability\\\""),
    ] {
        let answer = try_put(&server, "1", 0.0, window, output);
        assert!(answer.status == 422 && answer.text().contains(part), "{} {}", answer.status, answer.text());
    }
}

#[test]
fn the_model_in_force_scores_and_says_why() {
    let mut server = start("");
    assert_eq!(decide(&mut server.connect(), &check("t-0", "other", 100))["model"], json!(null));
    put(&server, "1", -1.0);
    put(&server, "2", -3.0);
    for path in ["1/activate", "2/shadow"] {
        let answer = server.ask("POST", &format!("/v1/models/fraud/{path}"), b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let rules = "[[rules]]\nid = \"model\"\nwhen = \"model.score > 0.9\"\naction = \"deny\"\n\
                 [[rules]]\nid = \"score\"\nwhen = \"risk_score >= 75\"\naction = \"review\"\n";
    assert_eq!(server.ask("PUT", "/v1/fraud/rules", rules.as_bytes()).status, 200);
    let sigmoid = |raw: f64| 1.0 / (1.0 + (-raw).exp());
    for round in 0..2 {
        let client = &mut server.connect();
        let answer = decide(client, &check(&format!("t-{round}-1"), &format!("card-{round}"), 2_300));
        let raw = |bias: f64| bias + 0.1 + 0.001 * 2_300.0;
        assert_eq!(answer["model"], json!({"name": "fraud", "version": "1", "score": sigmoid(raw(-1.0))}));
        assert_eq!((&answer["risk_score"], &answer["risk_level"]), (&json!(80), &json!("highest")));
        assert_eq!((&answer["decision"], &answer["rules_matched"]), (&json!("review"), &json!(["score"])));
        assert_eq!(
            answer["shadow"],
            json!([{"model": {"name": "fraud", "version": "2", "score": sigmoid(raw(-3.0))}}])
        );
        let reasons = answer["reasons"].as_array().unwrap();
        let model: Vec<_> = reasons.iter().filter(|reason| reason["code"] == "model").collect();
        let features: Vec<_> = model.iter().map(|reason| reason["feature"].as_str().unwrap()).collect();
        assert_eq!(features, ["amount", "count"]);
        assert_eq!((&model[0]["value"], model[0]["contribution"].as_f64()), (&json!(2_300), Some(0.001 * 2_300.0)));
        let added: f64 = model.iter().map(|reason| reason["contribution"].as_f64().unwrap()).sum();
        assert!((added - 1.0 - raw(-1.0)).abs() < 1e-12, "what it begins with and what was added is the raw score");
        // The restart has forgotten what was counted before.
        let model = server.ask("GET", "/v1/models/fraud", b"").json();
        let scores = &model["scores"];
        assert_eq!((&scores[0]["role"], &scores[0]["rows"]), (&json!("active"), &json!(1)), "{scores}");
        assert_eq!((&scores[1]["role"], &scores[1]["rows"]), (&json!("shadow"), &json!(1)), "{scores}");
        let apart = sigmoid(raw(-1.0)) - sigmoid(raw(-3.0));
        let compared = &model["comparison"];
        assert_eq!((&compared["rows"], &compared["shadow"]["version"]), (&json!(1), &model["shadow"]));
        assert!((compared["difference"]["mean"].as_f64().unwrap() - apart).abs() < 1e-12, "{compared}");
        let denied = decide(client, &check(&format!("t-{round}-2"), &format!("card-{round}"), 9_000));
        assert_eq!(denied["decision"], "deny");
        server.restart();
    }
}

#[test]
fn a_demo_model_that_does_not_fit_the_windows_is_not_installed_and_no_fault() {
    let mut server = Server::start_demo();
    server.stop();
    let dir = server.dir.path().to_owned();
    let (file, models) = (dir.join("gavel.toml"), dir.join("data/models"));
    assert!(models.join("fraud").exists() && models.join("ctr").exists());
    let window = "[[fraud.windows]]\nname = \"n\"\nkey = [\"customer.id\"]\naggregate = \"count\"\nlength = \"1h\"\n";
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + window).unwrap();
    // Left there by the start before.
    let check = || run(&dir, &["check"]);
    assert_eq!((check().status.code(), errors_of(&check()).as_str()), (Some(0), ""));
    std::fs::remove_dir_all(&models).unwrap();
    server.run();
    server.stop();
    assert!(!models.join("fraud").exists() && models.join("ctr").exists());
    assert_eq!(check().status.code(), Some(0));
    // One that somebody else put there is.
    std::fs::create_dir_all(models.join("fraud/1")).unwrap();
    assert_eq!(check().status.code(), Some(1));
}
