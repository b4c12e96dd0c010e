//! Several gavels on one topic: bids of one are billed at the other, one is killed, one joins, and each has the same exact books;
//! and campaigns that are put on two of them at the same time.

use std::net::SocketAddr;
use std::sync::Barrier;

use serde_json::json;

use crate::broker::{own, shared};
use crate::game::{Game, PATIENCE, audit_is_clean};
use crate::http::Client;
use crate::make::{campaign, with};
use crate::process::Process;
use crate::server::{wait_for, write_files};
use crate::tools::{table, topic};

#[test]
fn two_nodes_share_budgets_and_each_has_the_books_of_both_through_a_kill_and_a_join() {
    let Some(broker) = own() else { return };
    let game = Game::new(&broker);
    let first = game.start(1);
    game.play(vec![first], |journal, mut nodes| {
        nodes.push(game.start(2));
        journal.plays_with(&[&nodes[0], &nodes[1]]);
        journal.wait_for_more("bids of two", &journal.bids, 200);
        // The one that was there first.
        let mut killed = nodes.remove(0);
        killed.signal(libc::SIGKILL);
        killed.wait(PATIENCE);
        journal.plays_with(&[&nodes[0]]);
        journal.wait_for_more("bids of the other", &journal.bids, 200);
        nodes.push(game.start(1));
        journal.plays_with(&[&nodes[0], &nodes[1]]);
        journal.wait_for_more("bids of two again", &journal.bids, 200);
        nodes
    });
}

const WINDOW: &str =
    "[fraud]\n[[fraud.windows]]\nname = \"seen\"\nkey = [\"customer.id\"]\naggregate = \"count\"\nlength = \"1h\"\n";

#[test]
fn a_node_that_starts_again_counts_the_checks_of_others_too() {
    let (Some(broker), dir) = (shared(), tempfile::tempdir().unwrap()) else { return };
    let kafka = topic(broker);
    let start = |node: u16| {
        let dir = dir.path().join(node.to_string());
        if !dir.exists() {
            std::fs::create_dir_all(dir.join("data")).unwrap();
            write_files(&dir, &format!("node = {node}\n{}\n{WINDOW}", table(&kafka)), &[]);
        }
        Process::start(&dir, &[], "admin ")
    };
    let seen = |node: &Process, transaction: &str| {
        let body = json!({"merchant_id": "m", "transaction_id": transaction, "customer": {"id": "c"},
            "amount": {"value": 1, "currency": "EUR"}});
        let key = [("Idempotency-Key", transaction)];
        let answer = node.connect().request("POST", "/v1/fraud/checks", &key, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let path = format!("/v1/fraud/checks/{}", answer.json()["id"].as_str().unwrap());
        node.connect().get(&path).json()["features"]["seen"].clone()
    };
    let (mut first, mut second) = (start(1), start(2));
    assert_eq!((seen(&first, "t-1"), seen(&second, "t-2")), (json!(1), json!(1)));
    // However it stopped, a start comes to the whole log.
    for (signal, expected) in [(libc::SIGTERM, 3), (libc::SIGKILL, 4), (libc::SIGTERM, 5)] {
        second.signal(signal);
        second.wait(PATIENCE);
        second = start(2);
        assert_eq!(seen(&second, &format!("t-{expected}")), json!(expected));
    }
    for node in [&mut first, &mut second] {
        node.signal(libc::SIGTERM);
        assert!(node.wait(PATIENCE).success(), "{}", node.errors());
    }
}

const ROUNDS: usize = 80;
/// Campaigns that are put and deleted again and again; besides a new one in each round.
const AGAIN: usize = 3;

/// Puts and deletes on one node, each at the moment at which the other does, on the same campaign or another. Returns what was
/// answered otherwise than it should be: who ends early would have the other one wait for ever.
fn edit(admin: SocketAddr, which: u64, together: &Barrier) -> Vec<String> {
    let (mut client, mut odd) = (Client::connect(admin), Vec::new());
    let mut ask = |method: &str, path: &str, body: &str, fine: [u16; 2]| match client.try_request(
        method,
        path,
        &[],
        body.as_bytes(),
    ) {
        Ok(answer) if fine.contains(&answer.status) => {}
        Ok(answer) => odd.push(format!("{method} {path}: {} {}", answer.status, answer.text())),
        Err(error) => odd.push(format!("{method} {path}: {error}")),
    };
    let mut rng = fastrand::Rng::with_seed(which);
    for round in 0..ROUNDS {
        let id = match rng.usize(..8) {
            // Both or one of them: the number of a new campaign is another's as well.
            0 | 1 => format!("new-{round}"),
            2 => format!("new-{round}-{which}"),
            _ => format!("again-{}", rng.usize(..AGAIN)),
        };
        let path = format!("/v1/campaigns/{id}");
        together.wait();
        if rng.u8(..5) == 0 {
            ask("DELETE", &path, "", [204, 404]);
            continue;
        }
        let price = format!("{}.{:02}", rng.u8(1..9), rng.u8(..100));
        let total = format!("{}.00", rng.u8(1..200));
        let body = with(campaign(&id), json!({"bid": {"price": price}, "budget": {"total": total}}));
        ask("PUT", &path, &body.to_string(), [200, 201]);
    }
    odd
}

/// What a node says of every campaign that may be there, and of its budget.
fn campaigns(admin: SocketAddr) -> Vec<(String, u16, String, String)> {
    let mut client = Client::connect(admin);
    let again = (0..AGAIN).map(|n| format!("again-{n}"));
    let new = (0..ROUNDS).flat_map(|n| [format!("new-{n}"), format!("new-{n}-1"), format!("new-{n}-2")]);
    let said = again.chain(new).map(|id| {
        let answer = client.request("GET", &format!("/v1/campaigns/{id}"), &[], b"");
        let account = client.request("GET", &format!("/v1/campaigns/{id}/account"), &[], b"");
        let budget = if account.status == 200 { account.json()["budget"].to_string() } else { String::new() };
        (id, answer.status, answer.text().to_owned(), budget)
    });
    said.collect()
}

#[test]
fn what_is_put_on_two_nodes_at_once_is_the_same_on_both_and_on_one_that_comes_later() {
    let Some(broker) = own() else { return };
    let game = Game::new(&broker);
    let nodes = [game.start(1), game.start(2)];
    let together = Barrier::new(2);
    let odd: Vec<String> = std::thread::scope(|scope| {
        let [first, second] = [(1, &nodes[0]), (2, &nodes[1])].map(|(which, node)| {
            let (admin, together) = (node.admin, &together);
            scope.spawn(move || edit(admin, which, together))
        });
        first.join().unwrap().into_iter().chain(second.join().unwrap()).collect()
    });
    assert_eq!(odd, [""; 0]);
    // By the log alone.
    let later = game.start(3);
    let by_log = campaigns(later.admin);
    let there = by_log.iter().filter(|(_, status, ..)| *status == 200).count();
    assert!(there > 10 && there < by_log.len(), "{there} campaigns");
    for node in &nodes {
        let differs = || -> Vec<_> {
            let here = campaigns(node.admin);
            here.into_iter().zip(&by_log).filter(|(here, by_log)| here != *by_log).collect()
        };
        let mut last = Vec::new();
        wait_for(PATIENCE, "all nodes have what the log has", || {
            let now = differs();
            if now != last {
                println!("{now:?}");
            }
            last = now;
            last.is_empty()
        });
    }
    for mut node in nodes.into_iter().chain([later]) {
        node.signal(libc::SIGTERM);
        assert!(node.wait(PATIENCE).success(), "{}", node.errors());
    }
    (1..=3).for_each(|node| audit_is_clean(&game.dir(node)));
}
