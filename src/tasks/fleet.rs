//! A node of a fleet follows the log: it tells that it runs, ends with its start, and notes what other nodes edited.

use std::sync::Arc;

use super::OnFailed;
use super::follower::{LedgerFollower, lock};
use crate::clock::UnixMs;
use crate::event::{Event, Stamped};
use crate::eventlog::Follower;
use crate::ledger::hot::StartState;
use crate::ledger::marks::Marks;
use crate::ledger::starts::{SILENCE_MS, TELL_MS};

pub struct FleetFollower {
    pub ledger: LedgerFollower,
    /// The node's own clock: the log's stands still while nothing can be written.
    pub clock: Box<dyn Fn() -> UnixMs + Send>,
    pub told_at: UnixMs,
    /// Campaigns that were put or deleted, by whichever node.
    pub edited: Arc<Marks>,
    pub on_ended: OnFailed,
    pub has_ended: bool,
}

impl Follower for FleetFollower {
    fn apply(&mut self, stamped: &Stamped, out: &mut Vec<Event>) {
        self.ledger.apply(stamped, out);
        match &stamped.event {
            Event::CampaignSet(set) => self.edited.put(set.campaign),
            Event::CampaignDeleted { campaign } => self.edited.put(*campaign),
            Event::EpochStarted { .. } | Event::NodeRunning { .. } if !self.has_ended => {
                self.has_ended = lock(&self.ledger.hot).state() == StartState::Ended;
                if self.has_ended {
                    (self.on_ended)(&format!(
                        "the log says that this start is over, and its leases go to the other nodes: either another process \
                         started with this one's `node`, or nothing was heard of it for {} s. The next start has its own",
                        SILENCE_MS / 1_000
                    ));
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: UnixMs, out: &mut Vec<Event>) {
        self.ledger.tick(now, out);
        let clock = (self.clock)();
        if clock.since(self.told_at) >= TELL_MS
            && let Some(running) = lock(&self.ledger.hot).running(clock)
        {
            self.told_at = clock;
            out.push(running);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::event::{Offset, Process, Promise};
    use crate::ids::{CampaignNo, Epoch, NodeId};
    use crate::ledger::bucket::Grids;
    use crate::ledger::fold::tests::{START, set};
    use crate::ledger::{Books, Hot};
    use crate::telemetry::metrics::Counters;
    use crate::window::impressions::ImpressionStore;

    #[test]
    fn a_node_bids_once_the_log_has_what_it_tells_and_ends_with_its_start() {
        let grids = Arc::new(Grids::new(&[]));
        let hot = Hot::new(Books::default(), NodeId(1), grids.clone(), Promise::default()).in_fleet(Process(7));
        let hot = Arc::new(Mutex::new(hot));
        let ledger = LedgerFollower {
            hot: hot.clone(),
            impressions: Arc::new(ImpressionStore::new(1)),
            caps: Arc::default(),
            counters: Counters::default(),
            token_lifetime_ms: 1_000,
            forget_at: UnixMs(0),
            fraud: None,
        };
        let (tell, told) = channel();
        let own = START.plus(-500);
        let mut follower = FleetFollower {
            ledger,
            clock: Box::new(move || own),
            told_at: UnixMs(0),
            edited: Arc::default(),
            on_ended: Arc::new(move |why: &str| tell.send(why.to_owned()).unwrap()),
            has_ended: false,
        };
        let mut next = 0;
        let mut log = |follower: &mut FleetFollower, event| {
            let (mut out, stamped) = (Vec::new(), Stamped { offset: Offset(next), at: START, event });
            follower.apply(&stamped, &mut out);
            follower.tick(START, &mut out);
            next += 1;
            out
        };
        assert_eq!(log(&mut follower, set(100, None)), []);
        let mut edited = Vec::new();
        follower.edited.take(10, &mut edited);
        assert_eq!(edited, [CampaignNo(1)]);
        let started = lock(&hot).started();
        let running = Event::NodeRunning { epoch: Epoch(1), sent_at: own };
        assert_eq!(log(&mut follower, started), std::slice::from_ref(&running));
        assert!(!grids.fence.is_open(own), "nothing has come back");
        assert_eq!(log(&mut follower, running), [], "once a second");
        assert!(grids.fence.is_open(own.plus(SILENCE_MS / 2 - 1)) && !grids.fence.is_open(own.plus(SILENCE_MS / 2)));
        // A process that has this node's number too.
        let (node, epoch, promise, process) = (NodeId(1), Epoch(2), Promise::default(), Process(8));
        assert_eq!(log(&mut follower, Event::EpochStarted { node, epoch, promise, process }), []);
        assert!(!grids.fence.is_open(own));
        assert_eq!(log(&mut follower, Event::NodeRunning { epoch, sent_at: own }), []);
        assert!(!grids.fence.is_open(own), "that was the other's");
        let why: Vec<String> = told.try_iter().collect();
        assert!(why.len() == 1 && why[0].contains("`node`"), "{why:?}");
    }
}
