//! Who may sell a place: files loaded at the start, checked by `gavel check`.

use serde_json::{Value, json};

use crate::make::{campaign, request, with};
use crate::process::{errors_of, run};
use crate::server::{Server, write_files};

const CONFIG: &str = "[supply]\nads_txt = [\"ads/*.txt\"]\nsellers_json = [\"sellers/*.json\"]\n\
    blocked = [\"bad.example\"]\n[exchanges.demo]\nad_system = \"exchange.example\"\nbody_no_bid = true\n";

fn site(publisher: &str, schain: Value) -> Value {
    let place = json!({"domain": "example.com", "publisher": {"id": publisher}});
    with(request(), json!({"site": place, "source": {"schain": schain}}))
}

fn chain(nodes: &[(&str, &str)]) -> Value {
    let nodes: Vec<Value> = nodes.iter().map(|(asi, sid)| json!({"asi": asi, "sid": sid, "hp": 1})).collect();
    json!({"ver": "1.0", "complete": 1, "nodes": nodes})
}

fn files(dir: &std::path::Path) {
    for (name, text) in [
        (
            "ads/example.com.txt",
            "exchange.example, p-1, DIRECT\nreseller.example, 7, RESELLER\nbad.example, 1, RESELLER",
        ),
        ("sellers/reseller.example.json", r#"{"sellers": [{"seller_id": "8", "seller_type": "INTERMEDIARY"}]}"#),
    ] {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn only_those_who_may_sell_are_bought_from() {
    let mut server = Server::start("", &[campaign("a")]);
    server.stop();
    files(server.dir.path());
    write_files(server.dir.path(), CONFIG, &[campaign("a")]);
    server.run();
    let nbr = |asked: &Value| {
        let response = server.call("POST", "/openrtb2/demo", asked.to_string().as_bytes()).json();
        response["nbr"].as_u64()
    };
    let own = ("exchange.example", "p-1");
    for (asked, want) in [
        (site("p-1", Value::Null), None),
        (site("p-1", chain(&[own])), None),
        (site("p-2", Value::Null), Some(12)),
        (site("p-1", chain(&[own, ("reseller.example", "9")])), Some(12)),
        // Listed by the owner, but unknown to the reseller.
        (site("p-1", chain(&[own, ("reseller.example", "7")])), Some(17)),
        (site("p-1", chain(&[own, ("bad.example", "1")])), Some(17)),
        (site("p-1", json!({"nodes": "none"})), Some(16)),
        (with(site("p-2", Value::Null), json!({"site": {"domain": "elsewhere.example"}})), None),
    ] {
        assert_eq!(nbr(&asked), want, "{asked}");
        // OpenRTB 2.5 has it elsewhere.
        let schain = asked["source"]["schain"].clone();
        let old = with(asked, json!({"source": {"schain": null, "ext": {"schain": schain}}}));
        assert_eq!(nbr(&old), want, "{old}");
    }
    let counted = ["ads_txt", "supply_chain", "seller"]
        .map(|reason| server.metric(&format!("gavel_no_bids_total{{reason=\"{reason}\"}}")));
    assert_eq!(counted, [4.0, 2.0, 4.0]);
}

#[test]
fn a_complete_chain_can_be_required() {
    let server = Server::start("[supply]\nrequire_schain = true\n", &[campaign("a")]);
    let incomplete = with(chain(&[("x.example", "1")]), json!({"complete": 0}));
    assert!(server.bid(&site("p", chain(&[("x.example", "1")]))).is_some());
    assert!(server.bid(&site("p", incomplete)).is_none());
    assert!(server.bid(&request()).is_none());
}

#[test]
fn faults_of_supply_files_are_listed_and_refuse_a_start() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    write_files(dir.path(), CONFIG, &[campaign("a")]);
    assert_eq!(run(dir.path(), &["check"]).status.code(), Some(0));
    std::fs::write(dir.path().join("ads/noname.txt"), "").unwrap();
    std::fs::write(dir.path().join("sellers/broken.example.json"), "{").unwrap();
    for command in [&["check"][..], &[]] {
        let output = run(dir.path(), command);
        assert_eq!(output.status.code(), Some(1));
        let errors = errors_of(&output);
        for part in ["ads/noname.txt", "named after its domain", "sellers/broken.example.json", "EOF"] {
            assert!(errors.contains(part), "{part} is not in:\n{errors}");
        }
    }
    write_files(
        dir.path(),
        "[supply]\nads_txt = [\"none/*.txt\"]\nblocked = [\"x\"]\n[exchanges.demo]\nad_system = \"x y\"\n",
        &[campaign("a")],
    );
    let errors = errors_of(&run(dir.path(), &["check"]));
    for part in ["supply.ads_txt: ", "supply.blocked: ", "exchanges.demo.ad_system: "] {
        assert!(errors.contains(part), "{part} is not in:\n{errors}");
    }
}
