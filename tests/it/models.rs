//! Models: uploaded, tried out, put in force and rolled back, while bids are made.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gavel::event::{Event, Offset};
use gavel::eventlog::{DirStorage, ReadOnlyLog};
use gavel::scoring::artifact::version_id;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{Answer, Client};
use crate::make::{campaign, patient, request, with, with_imp};
use crate::rest::problem;
use crate::server::{Server, wait_until};

/// Bids 0.40 a click.
fn per_click(id: &str) -> Value {
    with(campaign(id), json!({"bid": {"type": "cpc", "price": "0.40"}}))
}

/// A model that predicts 1 / (1 + exp(-bias)), and more on a larger banner.
fn files(version: &str, bias: f64) -> [(String, Vec<u8>); 2] {
    let file = format!(
        "{{\"format\":\"gavel-linear-1\",\"objective\":\"logistic\",\"bias\":{bias:?},\
         \"columns\":[{{\"name\":\"w\",\"weight\":0.001,\"missing\":0}}]}}"
    );
    let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let raw = bias + 0.001 * 300.0;
    let manifest = format!(
        "name = \"ctr\"\nversion = \"{version}\"\nkind = \"linear\"\nfile = \"weights.json\"\nsha256 = \"{digest}\"\n\
         output = \"probability\"\n[[features]]\nname = \"w\"\nsource = \"imp.banner.w\"\ntransform = \"numeric\"\n\
         [[golden]]\nfeatures = [300.0]\nraw = {raw:?}\nprediction = {:?}\n",
        rate(bias)
    );
    [("manifest.toml".to_owned(), manifest.into_bytes()), ("weights.json".to_owned(), file.into_bytes())]
}

fn rate(bias: f64) -> f64 {
    1.0 / (1.0 + (-(bias + 0.001 * 300.0)).exp())
}

pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The bid's CPM, exactly.
fn cpm(bias: f64) -> f64 {
    ((400_000_000.0 * rate(bias)) as i64) as f64 / 1e6
}

/// Two versions, the second active and the first the one before, and a third as its shadow.
pub fn put_some(server: &Server) {
    for (version, bias) in [("1", -3.0), ("2", -2.0), ("3", -1.0)] {
        upload(server, version, bias);
    }
    ["1/activate", "2/activate", "3/shadow"].into_iter().for_each(|path| drop(post(server, path)));
}

fn upload(server: &Server, version: &str, bias: f64) -> Answer {
    server.ask("PUT", &format!("/v1/models/ctr/{version}"), &tar(&files(version, bias)))
}

#[track_caller]
fn post(server: &Server, path: &str) -> Value {
    let answer = server.ask("POST", &format!("/v1/models/ctr/{path}"), b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn roles(model: &Value) -> [Option<&str>; 3] {
    ["active", "shadow", "previous"].map(|role| model[role].as_str())
}

fn price(server: &Server) -> Option<f64> {
    server.bid(&request()).map(|bid| bid["price"].as_f64().unwrap())
}

#[test]
fn a_version_is_uploaded_shadowed_activated_and_rolled_back() {
    let mut server = Server::start("", &[per_click("a")]);
    assert_eq!(price(&server), None);
    assert_eq!(server.metric("gavel_campaigns_lost_total{reason=\"model_missing\"}"), 1.0);
    problem(&server.ask("POST", "/v1/models/ctr/rollback", b""), 404);
    problem(&server.ask("POST", "/v1/models/ctr/1/activate", b""), 404);
    assert_eq!(server.ask("GET", "/v1/models", b"").json(), json!([]));

    let answer = upload(&server, "1", -3.0);
    assert_eq!((answer.status, answer.json()["state"].as_str()), (201, Some("fine")), "{}", answer.text());
    assert_eq!(price(&server), None, "what is uploaded is not in force");
    assert_eq!(roles(&post(&server, "1/activate")), [Some("1"), None, None]);
    assert_eq!(price(&server), Some(cpm(-3.0)));
    assert_eq!(upload(&server, "1", -3.0).status, 200, "the same again");
    problem(&upload(&server, "1", -2.0), 409);

    assert_eq!(upload(&server, "2", -2.0).status, 201);
    assert_eq!(roles(&post(&server, "2/shadow")), [Some("1"), Some("2"), None]);
    problem(&server.ask("POST", "/v1/models/ctr/1/shadow", b""), 409);
    for _ in 0..10 {
        assert_eq!(price(&server), Some(cpm(-3.0)), "a shadow decides nothing");
    }
    let model = server.ask("GET", "/v1/models/ctr", b"").json();
    let [one, two] = [&model["scores"][0], &model["scores"][1]];
    assert_eq!(
        (one["version"].as_str(), one["role"].as_str(), one["rows"].as_u64()),
        (Some("1"), Some("active"), Some(11))
    );
    assert_eq!(
        (two["version"].as_str(), two["role"].as_str(), two["rows"].as_u64()),
        (Some("2"), Some("shadow"), Some(10))
    );
    let apart = rate(-2.0) - rate(-3.0);
    // Side by side they stand for the ten requests that both scored, whatever the active one scored before.
    let compared = &model["comparison"];
    assert_eq!((compared["rows"].as_u64(), compared["batches"].as_u64()), (Some(10), Some(10)));
    for shown in [&compared["difference"]["mean"], &compared["difference"]["most"]] {
        assert!((shown.as_f64().unwrap() - apart).abs() < 1e-12, "{shown}");
    }
    for (role, version, bias) in [("active", "1", -3.0), ("shadow", "2", -2.0)] {
        let side = &compared[role];
        assert_eq!((side["version"].as_str(), &side["distribution"][11]["rows"]), (Some(version), &json!(10)));
        assert!((side["mean"].as_f64().unwrap() - rate(bias)).abs() < 1e-12, "{side}");
        assert!(side["batch_mean_us"].as_f64().unwrap() > 0.0);
    }
    assert!((two["mean"].as_f64().unwrap() - rate(-2.0)).abs() < 1e-12 && two["batch_mean_us"].as_f64().unwrap() > 0.0);
    let of = |version, role| format!("{{model=\"ctr\",version=\"{version}\",role=\"{role}\"}}");
    assert_eq!(server.metric(&format!("gavel_model_scores_count{}", of(2, "shadow"))), 10.0);
    assert_eq!(server.metric(&format!("gavel_model_differences_count{}", of(2, "shadow"))), 10.0);
    assert_eq!(server.metric(&format!("gavel_model_batch_seconds_count{}", of(1, "active"))), 11.0);

    assert_eq!(roles(&post(&server, "2/activate")), [Some("2"), None, Some("1")]);
    assert_eq!(price(&server), Some(cpm(-2.0)));
    server.restart();
    assert_eq!(price(&server), Some(cpm(-2.0)));
    let model = server.ask("GET", "/v1/models/ctr", b"").json();
    assert_eq!(roles(&model), [Some("2"), None, Some("1")]);
    assert_eq!(roles(&post(&server, "rollback")), [Some("1"), None, None]);
    assert_eq!(price(&server), Some(cpm(-3.0)));
    problem(&server.ask("POST", "/v1/models/ctr/rollback", b""), 409);
    post(&server, "2/shadow");
    assert_eq!(roles(&server.ask("DELETE", "/v1/models/ctr/shadow", b"").json()), [Some("1"), None, None]);
    server.restart();
    assert_eq!(price(&server), Some(cpm(-3.0)));
    server.stop();

    // Each bid says which version made it.
    let versions = bids(&server).into_iter().map(|facts| facts.model).collect::<Vec<_>>();
    let [one, two] = ["1", "2"].map(|version| version_id("ctr", version));
    let expected = [[one; 11].as_slice(), &[two; 2], &[one; 2]].concat();
    assert_eq!(versions, expected);
}

fn bids(server: &Server) -> Vec<gavel::event::Facts> {
    let storage = DirStorage::new(server.dir.path().join("data/log")).unwrap();
    let log = ReadOnlyLog::open(Arc::new(storage), &mut |_, _| {}).unwrap();
    let mut reader = log.read(Offset(0)).unwrap();
    let mut bids = Vec::new();
    while let Some(stamped) = reader.next_event().unwrap() {
        if let Event::Bid(facts) = stamped.event {
            bids.push(facts);
        }
    }
    bids
}

#[test]
fn what_a_bid_may_cost_is_what_is_reserved_and_at_most_what_there_is() {
    // A bid is 0.026 of a click's 0.40, 0.01 to the nano below; for a thousand at once more than there is.
    let small = with(per_click("a"), json!({"budget": {"total": "0.05"}}));
    let server = Server::start("", &[small]);
    upload(&server, "1", -3.9);
    post(&server, "1/activate");
    let bid = server.bid_soon(&request());
    let nanos = (400_000_000.0 * rate(-3.9)) as i64;
    assert_eq!(bid["price"].as_f64(), Some(nanos as f64 / 1e6));
    wait_until("the bid is counted", || server.account("a").bids == 1);
    assert_eq!(server.account("a").reserved, nanos);
    server.win(&bid, "5.0");
    server.bill(&bid, "5.0");
    wait_until("the bill is booked", || server.account("a").billed == 1);
    // What is billed is the price of the impression, as for any other campaign.
    assert_eq!(server.account("a").spent, 5_000_000);
    let thousand = with_imp(request(), json!({"qty": {"multiplier": 1_000.0}}));
    assert_eq!(server.bid(&thousand), None);
    assert!(server.metric("gavel_campaigns_lost_total{reason=\"budget\"}") >= 1.0);
    // A floor above what a click is worth is not bid on; one below it is.
    let floor = |cpm: f64| with_imp(request(), json!({"bidfloor": cpm}));
    assert_eq!(server.bid(&floor(11.0)), None);
    assert!(server.metric("gavel_campaigns_lost_total{reason=\"floor\"}") >= 1.0);
    assert!(server.bid_soon(&floor(10.0))["price"].as_f64() == Some(nanos as f64 / 1e6));
}

#[test]
fn the_best_value_wins_whatever_it_is_priced_by() {
    let server = Server::start("", &[per_click("a"), with(campaign("b"), json!({"bid": {"price": "20.00"}}))]);
    for (version, bias, winner) in [("1", -3.0, "a"), ("2", -4.0, "b")] {
        upload(&server, version, bias);
        post(&server, &format!("{version}/activate"));
        // 0.4 times the rate is 25.2 and 9.6 a thousand.
        assert_eq!(server.bid(&request()).unwrap()["cid"], winner);
    }
}

#[test]
fn what_is_no_artifact_is_refused_and_changes_nothing() {
    let server = Server::start("", &[per_click("a")]);
    upload(&server, "1", -3.0);
    post(&server, "1/activate");
    let put = |version: &str, body: &[u8]| server.ask("PUT", &format!("/v1/models/ctr/{version}"), body);
    let refused = |version: &str, body: &[u8], status, what: &str| {
        let detail = problem(&put(version, body), status)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(what), "{what}: {detail}");
    };
    let good = files("2", -2.0);
    let edited = |at: usize, from: &str, to: &str| {
        let mut files = good.clone();
        let text = String::from_utf8(files[at].1.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        files[at].1 = text.replace(from, to).into_bytes();
        tar(&files)
    };
    for body in [&b""[..], b"nonsense", &[0; 3_000], &[0xff; 3_000], &tar(&good)[..900]] {
        assert_eq!(put("2", body).status, 400);
    }
    refused("2", &tar(&good[1..]), 400, "manifest.toml");
    refused("2", &tar(&good[..1]), 422, "weights.json");
    refused("3", &tar(&good), 422, "version");
    refused("2", &edited(0, "name = \"ctr\"", "name = \"other\""), 422, "name");
    refused("2", &edited(0, "imp.banner.w", "imp.banner.depth"), 422, "imp.banner.depth");
    refused("2", &edited(0, "features = [300.0]", "features = [301.0]"), 422, "golden row 0");
    refused("2", &edited(0, "features = [300.0]", "features = [300.0, 1.0]"), 422, "golden row 0");
    refused("2", &edited(0, "kind = \"linear\"", "kind = \"lightgbm\""), 422, "weights.json");
    refused("2", &edited(0, "output", "outputs"), 422, "manifest.toml: line 6");
    // What is no click rate would bid any price.
    for output in ["margin", "value"] {
        let to = format!("output = \"{output}\"");
        let what = if output == "margin" { "golden row 0" } else { "must be \"probability\": a price per click" };
        refused("2", &edited(0, "output = \"probability\"", &to), 422, what);
    }
    refused("2", &edited(1, "logistic", "logistics"), 422, "sha256");
    let more = [good.as_slice(), &[("readme.md".to_owned(), b"x".to_vec())]].concat();
    refused("2", &tar(&more), 422, "readme.md");
    for path in ["/v1/models/..%2f/1", "/v1/models/.ctr/1", "/v1/models/ctr/.new-1"] {
        assert!(matches!(server.ask("PUT", path, &tar(&good)).status, 404 | 422), "{path}");
    }
    let model = server.ask("GET", "/v1/models/ctr", b"").json();
    assert_eq!(model["versions"].as_array().unwrap().len(), 1, "{model}");
    let mut left: Vec<_> = std::fs::read_dir(server.dir.path().join("data/models/ctr")).unwrap().collect();
    assert_eq!(left.pop().unwrap().unwrap().file_name(), "1");
    assert!(left.is_empty());
    assert_eq!(price(&server), Some(cpm(-3.0)));
    for (method, path) in [("DELETE", "ctr/1"), ("POST", "ctr"), ("PUT", "ctr/1/activate"), ("GET", "ctr/1/shadow")] {
        problem(&server.ask(method, &format!("/v1/models/{path}"), b""), 405);
    }
    problem(&server.ask("GET", "/v1/models/none", b""), 404);
    problem(&server.ask("GET", "/v1/models/ctr/9", b""), 404);
    // Told before the body comes.
    let mut client = Client::connect(server.admin());
    client.send(b"PUT /v1/models/ctr/5 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx");
    client.finish_sending();
    assert!(client.try_answer(true).map_or(true, |answer| answer.status == 413));
    wait_until("the next upload is taken", || upload(&server, "6", -2.0).status == 201);
}

fn drop_into(dir: &Path, files: &[(String, Vec<u8>)]) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, content) in files {
        std::fs::write(dir.join(name), content).unwrap();
    }
}

#[test]
fn a_folder_that_is_dropped_is_found_and_checked() {
    let mut server = Server::start("models = \"artifacts\"\n", &[per_click("a")]);
    let dir = server.dir.path().join("artifacts/ctr");
    drop_into(&dir.join("1"), &files("1", -3.0));
    drop_into(&dir.join("2"), &files("1", -3.0));
    let version = |which: &str| server.ask("GET", &format!("/v1/models/ctr/{which}"), b"");
    wait_until("both are looked at", || version("1").status == 200 && version("2").status == 200);
    assert_eq!(version("1").json()["state"], "fine");
    let bad = version("2").json();
    assert_eq!(
        (bad["state"].as_str(), bad["fault"].as_str()),
        (Some("refused"), Some("version: is `1`, its place says `2`"))
    );
    problem(&server.ask("POST", "/v1/models/ctr/2/activate", b""), 422);
    assert_eq!(price(&server), None, "nothing is put in force by itself");
    post(&server, "1/activate");
    assert_eq!(price(&server), Some(cpm(-3.0)));
    // Mended, it is looked at again.
    drop_into(&dir.join("2"), &files("2", -2.0));
    wait_until("it is fine", || version("2").json()["state"] == "fine");

    // Whatever was put in force is what is in force, or nothing is.
    drop_into(&dir.join("1"), &files("1", -1.0));
    wait_until("it is seen", || version("1").json()["state"] == "changed");
    assert_eq!(version("1").json()["role"], "active");
    assert!(version("1").json()["fault"].as_str().unwrap().contains("not that of the version"));
    assert_eq!(price(&server), Some(cpm(-3.0)));
    drop_into(&dir.join("1"), &files("1", -3.0));
    wait_until("it is as it was", || version("1").json()["state"] == "fine");
    drop_into(&dir.join("1"), &[("weights.json".to_owned(), b"{}".to_vec())]);
    wait_until("it is seen", || version("1").json()["state"] == "changed");
    assert!(version("1").json()["fault"].as_str().unwrap().starts_with("sha256"));
    drop_into(&dir.join("1"), &files("1", -1.0));
    assert_eq!(price(&server), Some(cpm(-3.0)));
    server.restart();
    assert_eq!(price(&server), None);
    drop_into(&dir.join("1"), &files("1", -3.0));
    server.restart();
    assert_eq!(price(&server), Some(cpm(-3.0)));
}

#[test]
fn a_version_in_force_whose_files_are_gone_is_told() {
    let server = Server::start("models = \"artifacts\"\n", &[per_click("a")]);
    put_some(&server);
    let dir = server.dir.path().join("artifacts/ctr");
    let state = |version: &str| server.ask("GET", &format!("/v1/models/ctr/{version}"), b"").json()["state"].clone();
    for version in ["1", "2", "3"] {
        std::fs::remove_dir_all(dir.join(version)).unwrap();
        wait_until("it is missed", || state(version) == "gone");
    }
    let model = server.ask("GET", "/v1/models/ctr", b"").json();
    assert_eq!(roles(&model), [Some("2"), Some("3"), Some("1")]);
    assert!(model["versions"].as_array().unwrap().iter().all(|one| one["state"] == "gone"), "{model}");
    assert_eq!(price(&server), Some(cpm(-2.0)), "what is in force stays");
    drop_into(&dir.join("2"), &files("2", -2.0));
    wait_until("it is back", || state("2") == "fine");
    // A rollback needs no files.
    assert_eq!(roles(&post(&server, "rollback")), [Some("1"), Some("3"), None]);
    assert_eq!(price(&server), Some(cpm(-3.0)));
}

#[test]
fn what_lies_at_the_wrong_place_is_told() {
    let server = Server::start("models = \"artifacts\"\n", &[per_click("a")]);
    let dir = server.dir.path().join("artifacts");
    let good = files("1", -3.0);
    drop_into(&dir.join("2026-12-01.1"), &good);
    drop_into(&dir.join("ctr/1/1"), &good);
    drop_into(&dir.join("ctr/2"), &good[1..]);
    drop_into(&dir.join("ctr/3"), &good[..1]);
    drop_into(&dir.join("ctr/4 (copy)"), &good);
    drop_into(&dir.join("ctr/5"), &[]);
    drop_into(&dir.join("ctr"), &[("6.tar.gz".to_owned(), b"packed".to_vec())]);
    drop_into(&dir.join("ctr/.hidden"), &[]);
    let model = |name: &str| server.ask("GET", &format!("/v1/models/{name}"), b"");
    wait_until("all are looked at", || {
        model("ctr").status == 200 && model("ctr").json()["versions"].as_array().unwrap().len() == 6
    });
    let found = model("ctr").json();
    let expected = [
        ("1", "one level too deep"),
        ("2", "manifest.toml is missing: there is only weights.json"),
        ("3", "`weights.json` is missing"),
        ("4 (copy)", "needs 1 to 64 letters"),
        ("5", "is empty"),
        ("6.tar.gz", "is packed"),
    ];
    for (one, (version, what)) in found["versions"].as_array().unwrap().iter().zip(expected) {
        assert_eq!((one["version"].as_str(), one["state"].as_str()), (Some(version), Some("refused")));
        assert!(one["fault"].as_str().unwrap().contains(what), "{what}: {one}");
    }
    wait_until("the other is looked at", || model("2026-12-01.1").status == 200);
    let high = model("2026-12-01.1").json();
    assert!(high["fault"].as_str().unwrap().contains("lies too high"), "{high}");
    assert_eq!(server.ask("GET", "/v1/models", b"").json().as_array().unwrap().len(), 2);
    // Whoever goes on with one of them is told the same.
    let refused = problem(&server.ask("POST", "/v1/models/ctr/2/activate", b""), 422);
    assert!(refused["detail"].as_str().unwrap().contains("manifest.toml is missing"), "{refused}");
    let refused = problem(&upload(&server, "2", -3.0), 409);
    assert!(refused["detail"].as_str().unwrap().contains("there is only weights.json"), "{refused}");
    // Mended, it is as good as any.
    drop_into(&dir.join("ctr/3"), &files("3", -3.0));
    wait_until("it is looked at", || model("ctr/3").json()["state"] == "fine");
    post(&server, "3/activate");
    assert_eq!(price(&server), Some(cpm(-3.0)));
}

#[test]
fn a_version_that_cannot_be_loaded_keeps_its_role() {
    let mut server = Server::start("models = \"artifacts\"\n", &[per_click("a")]);
    put_some(&server);
    let dir = server.dir.path().join("artifacts/ctr");
    let away = server.dir.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let move_away = |version: &str| std::fs::rename(dir.join(version), away.join(version)).unwrap();
    let move_back = |version: &str| std::fs::rename(away.join(version), dir.join(version)).unwrap();
    let model = |server: &Server| server.ask("GET", "/v1/models/ctr", b"").json();
    let not_loaded = |model: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = model["not_loaded"].as_array().unwrap().iter();
        list.inspect(|one| assert!(one["why"].as_str().unwrap().contains("there is no model")))
            .map(|one| (text(&one["role"]), text(&one["version"])))
            .collect()
    };
    let pair = |role: &str, version: &str| (role.to_owned(), version.to_owned());

    // The shadow and what a rollback goes back to cannot be loaded at a start.
    ["1", "3"].into_iter().for_each(move_away);
    server.restart();
    assert_eq!(roles(&model(&server)), [Some("2"), None, None]);
    assert_eq!(not_loaded(&model(&server)), [pair("shadow", "3"), pair("previous", "1")]);
    wait_until("it is counted", || server.metric("gavel_models_not_loaded") == 2.0);
    problem(&server.ask("POST", "/v1/models/ctr/rollback", b""), 404);
    assert_eq!(price(&server), Some(cpm(-2.0)), "nothing was changed");

    // The next change forgets neither: not in memory, and not in the log.
    post(&server, "2/activate");
    assert_eq!(not_loaded(&model(&server)), [pair("shadow", "3"), pair("previous", "1")]);
    server.restart();
    assert_eq!(not_loaded(&model(&server)), [pair("shadow", "3"), pair("previous", "1")]);

    // What is there again is loaded, as soon as it is looked at or when it is needed.
    move_back("3");
    wait_until("the shadow is back", || roles(&model(&server)) == [Some("2"), Some("3"), None]);
    move_back("1");
    assert_eq!(roles(&post(&server, "rollback")), [Some("1"), Some("3"), None]);
    assert_eq!((price(&server), not_loaded(&model(&server)).len()), (Some(cpm(-3.0)), 0));
    wait_until("nothing is missing", || server.metric("gavel_models_not_loaded") == 0.0);

    // Another version takes the role of one that is not there, which becomes what a rollback goes back to.
    move_away("1");
    server.restart();
    assert_eq!((price(&server), not_loaded(&model(&server))), (None, vec![pair("active", "1")]));
    post(&server, "2/activate");
    assert_eq!(price(&server), Some(cpm(-2.0)));
    assert_eq!(not_loaded(&model(&server)), [pair("previous", "1")]);
    post(&server, "3/activate");
    assert_eq!(not_loaded(&model(&server)), []);
}

#[test]
fn an_upload_puts_back_what_has_a_role() {
    let mut server = Server::start("", &[per_click("a")]);
    upload(&server, "1", -3.0);
    post(&server, "1/activate");
    let folder = server.dir.path().join("data/models/ctr/1");
    let state = |server: &Server| {
        let version = server.ask("GET", "/v1/models/ctr/1", b"").json();
        (version["state"].as_str().unwrap().to_owned(), version["role"].as_str() == Some("active"))
    };
    let fine = ("fine".to_owned(), true);
    std::fs::remove_dir_all(&folder).unwrap();
    server.restart();
    assert_eq!(price(&server), None);
    problem(&upload(&server, "1", -2.0), 409);
    assert_eq!(upload(&server, "1", -3.0).status, 201);
    assert_eq!((price(&server), state(&server)), (Some(cpm(-3.0)), fine.clone()));
    assert_eq!(server.ask("GET", "/v1/models/ctr", b"").json()["not_loaded"], json!([]));

    // A model file that is not what it was is mended by the same upload.
    let weights = folder.join("weights.json");
    for broken in [None, Some("{}")] {
        std::fs::remove_file(&weights).unwrap();
        if let Some(text) = broken {
            std::fs::write(&weights, text).unwrap();
        }
        wait_until("it is seen", || state(&server).0 == "changed");
        assert_eq!(upload(&server, "1", -3.0).status, 200);
        assert_eq!(state(&server), fine);
    }
    server.restart();
    assert_eq!(price(&server), Some(cpm(-3.0)));

    // Other content under the version that the log knows is none of it, whoever put it there.
    upload(&server, "2", -2.0);
    post(&server, "2/activate");
    drop_into(&folder, &files("1", -1.0));
    server.restart();
    for role in ["activate", "shadow"] {
        let refused = problem(&server.ask("POST", &format!("/v1/models/ctr/1/{role}"), b""), 409);
        assert!(refused["detail"].as_str().unwrap().contains("a version never changes"), "{refused}");
    }
    assert_eq!(price(&server), Some(cpm(-2.0)));
}

#[test]
fn the_roles_of_a_model_are_withdrawn() {
    let mut server = Server::start("", &[per_click("a")]);
    let withdraw = |server: &Server| server.ask("DELETE", "/v1/models/ctr", b"");
    problem(&withdraw(&server), 404);
    put_some(&server);
    assert_eq!(price(&server), Some(cpm(-2.0)));
    assert_eq!(withdraw(&server).status, 204);
    problem(&withdraw(&server), 404);
    for _ in 0..2 {
        assert_eq!(price(&server), None);
        let model = server.ask("GET", "/v1/models/ctr", b"").json();
        assert_eq!((roles(&model), model["versions"].as_array().map(Vec::len)), ([None; 3], Some(3)));
        assert_eq!(model["not_loaded"], json!([]));
        server.restart();
        wait_until("all are looked at", || server.ask("GET", "/v1/models/ctr/3", b"").status == 200);
    }
    // Nor does one whose files are gone keep its role for ever.
    post(&server, "1/activate");
    assert_eq!(price(&server), Some(cpm(-3.0)));
    std::fs::remove_dir_all(server.dir.path().join("data/models/ctr")).unwrap();
    server.restart();
    wait_until("it is counted", || server.metric("gavel_models_not_loaded") == 1.0);
    assert_eq!(withdraw(&server).status, 204);
    wait_until("nothing is missing", || server.metric("gavel_models_not_loaded") == 0.0);
    problem(&server.ask("GET", "/v1/models/ctr", b""), 404);
    assert_eq!(server.ask("GET", "/v1/models", b"").json(), json!([]));
}

#[test]
fn no_request_fails_while_models_are_swapped() {
    let server = Server::start("", &[per_click("a")]);
    for (version, bias) in [("1", -3.0), ("2", -2.0), ("3", -2.5)] {
        upload(&server, version, bias);
    }
    post(&server, "1/activate");
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let prices = [-3.0, -2.0].map(cpm);
    let body = patient().to_string();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.connect();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.request("POST", "/openrtb2/demo", &[], body.as_bytes());
                    if answer.status == 204 {
                        // Faster than leases: there is money again in a moment.
                        continue;
                    }
                    assert_eq!(answer.status, 200);
                    let price = answer.json()["seatbid"][0]["bid"][0]["price"].as_f64().unwrap();
                    assert!(prices.contains(&price), "{price} is of no version");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let swap = |round: usize| match round % 3 {
            0 => drop(post(&server, "2/activate")),
            1 => drop(post(&server, "3/shadow")),
            _ => drop(post(&server, "rollback")),
        };
        (0..60).for_each(swap);
        wait_until("bids are made", || made.load(Ordering::Relaxed) > 20);
        stop.store(true, Ordering::Relaxed);
    });
    let lost = |reason: &str| server.metric(&format!("gavel_campaigns_lost_total{{reason=\"{reason}\"}}"));
    assert_eq!([lost("model_missing"), lost("prediction")], [0.0; 2]);
}

#[test]
fn the_demo_serves_with_its_models() {
    let mut server = Server::start_demo();
    let model = |name: &str| server.ask("GET", &format!("/v1/models/{name}"), b"").json();
    assert!(model("ctr")["active"].is_string() && model("fraud")["active"].is_string());
    let large = with_imp(request(), json!({"banner": {"w": 970, "h": 250}}));
    let bid = server.bid(&large).unwrap();
    assert_eq!(bid["cid"], "demo-vela");
    let price = bid["price"].as_f64().unwrap();
    assert!(price > 0.0 && price < 400.0, "{price}");
    // Exchanges write systems and countries as they like: the model knows them as targeting does.
    let of = |os: &str, country: &str| with(large.clone(), json!({"device": {"os": os, "geo": {"country": country}}}));
    let seen = |request: &Value| server.bid(request).map(|bid| bid["price"].as_f64().unwrap());
    let ios = seen(&of("ios", "USA")).unwrap();
    for (os, country) in [("iOS", "USA"), ("iPhone OS", "usa"), ("IOS", "Usa")] {
        assert_eq!(seen(&of(os, country)), Some(ios), "{os}");
    }
    assert_ne!(seen(&of("Windows", "USA")), Some(ios));
    let active = model("ctr")["active"].clone();
    server.restart();
    assert_eq!(server.ask("GET", "/v1/models/ctr", b"").json()["active"], active);
    assert_eq!(server.bid(&large).unwrap()["cid"], "demo-vela");
}
