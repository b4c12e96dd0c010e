//! Two gavels on one topic: bids of one are billed at the other, one is killed, one joins, and each has the same exact books.

use crate::broker::own;
use crate::game::{Game, PATIENCE};

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
