//! Tokens that nothing may come of, and clicks, which are never money.
//!
//! What gavel knows of other nodes today is their number in a reservation's id: each data directory makes its own notice
//! keys, so that a notice which reaches a node that did not bid is refused as any foreign token, and counted. Here another node
//! signs the very facts of our bids under its own number and keys. A node whose own number was changed goes on with its
//! log; its starts have numbers of their own. Nodes that share keys, a budget, or leases do not exist yet.

use gavel::event::{Event, Track};
use gavel::eventlog::EventLog;
use gavel::ids::NodeId;
use gavel::openrtb::token::KeyRing;

use crate::count::Kind;
use crate::rules::LONGEST_TOKEN_MS;
use crate::world::World;

impl World {
    /// A token that somebody altered, or that another key signed: nothing may come of it.
    pub fn odd_token(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let bid = self.rng.usize(..self.tokens.len());
        let mut token = self.tokens[bid].0.clone();
        let kind = [Kind::ForeignKey, Kind::OtherNode, Kind::Altered][self.rng.usize(..3)];
        if kind == Kind::Altered {
            let at = self.rng.usize(..token.len());
            let other = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";
            let with = other[self.rng.usize(..other.len())];
            if token[at] == with {
                return;
            }
            token[at] = with;
        } else {
            let mut facts = self.journal.made[bid].facts;
            let mut id = self.rng.u8(1..9);
            if kind == Kind::OtherNode {
                // Its first key has the number that ours has.
                id = 1;
                facts.reservation.node = NodeId(facts.reservation.node.0 % 2 + 1);
            }
            // Ours repeat one byte.
            let mut secret = [self.rng.u8(..); 32];
            secret[0] ^= 1;
            let ring = KeyRing::new(vec![(id, secret)]).expect("one key");
            token.clear();
            ring.sign_into(&facts, self.wall().plus(LONGEST_TOKEN_MS), &mut token);
        }
        let Some(life) = &self.life else { return };
        assert!(life.keys.verify(&token, life.now()).is_err(), "a forged token was taken");
        self.note(kind);
    }

    /// A click, a pixel or a conversion, as `serve::track` takes it: whoever has the token may report it, again and again.
    pub fn track(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let bid = self.rng.usize(..self.tokens.len());
        let what = [Track::Click, Track::Click, Track::Impression, Track::Conversion][self.rng.usize(..4)];
        let Some(life) = self.life.as_ref().filter(|life| life.ready) else { return };
        let Ok(facts) = life.keys.verify(&self.tokens[bid].0, life.now()) else {
            return self.note(Kind::Expired);
        };
        assert_eq!(facts, self.journal.made[bid].facts);
        let lane = bid % 2;
        let kind = match life.log.append(lane, &Event::Track { what, facts }) {
            Ok(()) => Kind::Click,
            Err(_) => Kind::TrackRefused,
        };
        self.note(kind);
    }
}
