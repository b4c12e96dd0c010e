//! The first five minutes: start it, copy the line it prints, get a bid.

use serde_json::Value;

use crate::http::Client;
use crate::process::Process;
use crate::server::wait_until;

#[test]
fn without_a_config_it_serves_the_demo_and_its_curl_line_gets_a_bid() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let process = Process::start(dir.path(), &arguments, "curl");
    assert!(process.printed[0].starts_with("traffic http://127.0.0.1:"), "{:?}", process.printed);
    assert!(process.printed[1].starts_with("admin http://127.0.0.1:"), "{:?}", process.printed);
    assert!(dir.path().join("data").is_dir(), "the data directory is not where it should be by default");

    let curl = process.printed.last().unwrap();
    let mut words = curl.split(' ');
    let url = words.find(|w| w.starts_with("http")).unwrap();
    assert_eq!(url, format!("http://{}/openrtb2/demo", process.traffic));
    let body = curl.split_once('\'').unwrap().1.strip_suffix('\'').unwrap();
    assert!(!body.contains('\''));
    // What curl sends with -d.
    let headers = [("Accept", "*/*"), ("Content-Type", "application/x-www-form-urlencoded")];
    // It names no tmax: a busy machine may be too late.
    let mut client = process.connect();
    let mut answer = client.request("POST", "/openrtb2/demo", &headers, body.as_bytes());
    wait_until("a bid", || {
        answer.status == 200 || {
            answer = client.request("POST", "/openrtb2/demo", &headers, body.as_bytes());
            false
        }
    });
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-openrtb-version"), Some("2.6"));
    assert_eq!(answer.header("connection"), None);
    let (asked, response): (Value, Value) = (serde_json::from_str(body).unwrap(), answer.json());
    assert_eq!(response["id"], asked["id"]);
    let bid = &response["seatbid"][0]["bid"][0];
    assert_eq!(bid["impid"], asked["imp"][0]["id"]);
    assert!(bid["price"].as_f64().unwrap() > 0.0);

    let mut admin = Client::connect(process.admin);
    assert_eq!(admin.get("/live").status, 200);
    assert_eq!(admin.get("/ready").status, 200);
    assert_eq!(process.connect().get("/ready").text(), "1");
    assert_eq!(process.errors(), "");
}

#[test]
fn it_serves_on_when_nobody_reads_what_it_prints() {
    let dir = tempfile::tempdir().unwrap();
    // The pipe is closed after the second line, as `gavel | head -2` does.
    let process = Process::start(dir.path(), &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], "admin");
    let mut client = process.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/ready").text(), "1");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(process.errors(), "");
}

#[test]
fn a_model_less_demo_still_answers_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], "curl");
    let mut client = process.connect();
    let native = r#"{"ver":"1.2","assets":[{"id":7,"required":1,"title":{"len":90}}]}"#;
    let imps = [
        serde_json::json!({"id": "1", "banner": {"w": 300, "h": 250}}),
        serde_json::json!({"id": "1", "video": {"mimes": ["video/mp4"], "w": 640, "h": 360, "minduration": 1, "maxduration": 60, "protocols": [2, 3, 5, 6, 7, 8]}}),
        serde_json::json!({"id": "1", "audio": {"mimes": ["audio/mpeg", "audio/mp4"], "minduration": 1, "maxduration": 60, "protocols": [2, 3, 5, 6, 7, 8, 9, 10]}}),
        serde_json::json!({"id": "1", "native": {"request": native}}),
    ];
    for (i, imp) in imps.iter().enumerate() {
        let request = serde_json::json!({"id": "1", "imp": [imp], "site": {"domain": "example.com"}});
        let answer = client.post("/openrtb2/demo", request.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{imp}");
        assert_eq!(answer.json()["seatbid"][0]["bid"][0]["mtype"], i + 1);
    }
}
