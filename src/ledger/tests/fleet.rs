//! Several nodes on one log: who was first, who lives, and what a lease must find.

use super::super::fold::Folded;
use super::super::hot::StartState;
use super::super::starts::{SILENCE_MS, TELL_MS};
use super::*;
use crate::event::{CampaignSet, Process, ReturnReason};
use crate::ids::Currency;

/// A log and its fold.
#[derive(Default)]
struct Log {
    books: Books,
    now_ms: i64,
}

impl Log {
    fn append(&mut self, event: Event) -> Folded {
        let stamped = self.stamped(event);
        fold(&mut self.books, &stamped)
    }

    fn stamped(&self, event: Event) -> Stamped {
        Stamped { offset: self.books.next, at: START.plus(self.now_ms), event }
    }

    fn start(&mut self, node: u16, epoch: u32) -> Folded {
        self.append(started_by(node, epoch, Process(u64::from(node) * 100 + u64::from(epoch))))
    }

    fn tell(&mut self, epoch: u32) -> Folded {
        self.append(Event::NodeRunning { epoch: Epoch(epoch), sent_at: START })
    }

    /// Time passes in which these starts tell that they run.
    fn run(&mut self, ms: i64, epochs: &[u32]) {
        for _ in 0..ms / TELL_MS {
            self.now_ms += TELL_MS;
            for epoch in epochs {
                self.tell(*epoch);
            }
        }
    }

    fn lease(&mut self, epoch: u32, amount: i64, slot: Slot) -> Folded {
        let lease = LeaseId { epoch: Epoch(epoch), seq: 1 };
        self.append(Event::LeaseGranted { campaign: NO, lease, slot, amount: Nanos(amount) })
    }

    fn living(&self) -> Vec<u32> {
        let starts = &self.books.starts;
        starts.known.keys().filter(|epoch| starts.lives(**epoch)).map(|epoch| epoch.0).collect()
    }

    fn left(&self, epoch: u32) -> i64 {
        let leases = self.books.campaigns[&NO].leases.iter();
        leases.filter(|((e, _), _)| *e == Epoch(epoch)).map(|(_, left)| left.0).sum()
    }

    fn back_after_ms(&self, epoch: u32) -> i64 {
        self.books.starts.reclaim_at(Epoch(epoch), 0).since(START.plus(self.now_ms)) - 1
    }
}

fn started_by(node: u16, epoch: u32, process: Process) -> Event {
    Event::EpochStarted { node: NodeId(node), epoch: Epoch(epoch), promise: PROMISE, process }
}

/// A fleet's start waits for what goes on in a process that does not know yet that its start has ended.
const WAIT_MS: i64 = PROMISE.billable_ms + SILENCE_MS / 2;

#[test]
fn an_epoch_is_the_first_ones_in_the_log() {
    let mut log = Log::default();
    assert_eq!((log.start(1, 1), log.start(2, 1), log.start(3, 2), log.start(2, 1)), {
        (Folded::Done, Folded::Refused, Folded::Done, Folded::Refused)
    });
    let of: Vec<_> = log.books.starts.known.iter().map(|(epoch, start)| (epoch.0, start.node.0)).collect();
    assert_eq!((of, log.living()), (vec![(1, 1), (2, 3)], vec![1, 2]));
}

#[test]
fn a_start_ends_those_of_its_node_and_who_is_alone_all() {
    let mut log = Log::default();
    log.append(set(1_000, None));
    for epoch in 1..=3 {
        log.start(epoch as u16, epoch);
        log.lease(epoch, 100, Slot::Whole);
    }
    log.start(2, 4);
    assert_eq!(log.living(), [1, 3, 4]);
    log.append(started_by(9, 5, Process::ALONE));
    assert_eq!(log.living(), [5]);
    log.start(1, 6);
    assert_eq!(log.living(), [6], "beside one that has the log to itself there is none");
}

#[test]
fn a_start_ends_when_nothing_is_heard_of_it_while_others_run() {
    let mut log = Log::default();
    log.start(1, 1);
    log.start(2, 2);
    log.run(SILENCE_MS, &[1, 2]);
    log.run(SILENCE_MS, &[1]);
    assert_eq!(log.living(), [1, 2]);
    log.run(TELL_MS, &[1]);
    assert_eq!((log.living(), log.tell(2)), (vec![1], Folded::Refused));
    assert_eq!(log.living(), [1], "too late");
    // Nobody could be heard, and nobody is silent for that.
    log.start(2, 3);
    log.now_ms += 10 * SILENCE_MS;
    log.tell(1);
    assert_eq!(log.living(), [1, 3]);
    log.run(SILENCE_MS - 5 * TELL_MS, &[3]);
    assert_eq!(log.living(), [1, 3]);
    log.run(6 * TELL_MS, &[3]);
    assert_eq!(log.living(), [3]);
}

#[test]
fn time_passes_once_however_many_run_and_not_while_none_does() {
    let mut log = Log::default();
    log.append(set(1_000, None));
    log.start(1, 1);
    log.start(2, 2);
    log.lease(1, 100, Slot::Whole);
    log.run(7_000, &[1, 2]);
    log.start(1, 3);
    assert_eq!(log.back_after_ms(1), WAIT_MS);
    log.run(4_000, &[2, 3]);
    assert_eq!(log.back_after_ms(1), WAIT_MS - 4_000);
    // Five seconds of an hour in which nothing came.
    log.now_ms += 3_600_000;
    log.tell(2);
    assert_eq!(log.back_after_ms(1), WAIT_MS - 9_000);
    let older = log.books.starts.older_than(5_000, START.plus(log.now_ms));
    assert!(older <= START.plus(11_000), "an hour ago is not five seconds of running ago: {older}");
    // All are gone, and one comes back: what is between its starts counts for nothing, as ever.
    log.start(1, 4);
    log.start(2, 5);
    log.run(SILENCE_MS + TELL_MS, &[5]);
    assert_eq!(log.living(), [5]);
    let before = log.back_after_ms(4);
    log.now_ms += 3_600_000;
    log.start(2, 6);
    assert_eq!((log.living(), before - log.back_after_ms(4)), (vec![6], -1), "less what rounding may have added");
}

#[test]
fn a_lease_needs_a_start_that_lives_and_free_money() {
    let mut log = Log::default();
    log.append(set(1_000, None));
    log.start(1, 1);
    log.start(2, 2);
    assert_eq!((log.lease(1, 700, Slot::Whole), log.lease(2, 301, Slot::Whole)), (Folded::Done, Folded::Refused));
    assert_eq!((log.left(1), log.left(2)), (700, 0));
    assert_eq!(log.lease(2, 300, Slot::Whole), Folded::Done);
    log.append(set(2_000, None));
    log.start(1, 3);
    assert_eq!((log.lease(1, 1, Slot::Whole), log.left(1)), (Folded::Refused, 700));
    // From the whole budget while there is a daily one: no day would know of it.
    log.append(set(2_000, Some(1_100)));
    let today = Slot::Day(facts(0).day);
    assert_eq!((log.lease(3, 1, Slot::Whole), log.lease(3, 101, today)), (Folded::Refused, Folded::Refused));
    assert_eq!((log.lease(3, 100, today), log.lease(3, 1, today)), (Folded::Done, Folded::Refused));
    // Asked for twice, by two nodes.
    for _ in 0..2 {
        let (epoch, why) = (Epoch(1), ReturnReason::Reclaimed);
        log.append(Event::LeaseReturned { campaign: NO, epoch, slot: Slot::Whole, amount: Nanos(700), why });
        assert_eq!((log.left(1), log.left(2), log.left(3)), (0, 300, 100));
    }
    invariants::book(&log.books.campaigns[&NO]).unwrap();
}

#[test]
fn what_one_node_asks_for_alone_it_has_as_ever() {
    let mut log = Log::default();
    log.append(set(1_000, None));
    log.append(started_by(1, 1, Process::ALONE));
    // An edit asked for it, and a late bill or a cut came in between: the node returns the rest.
    assert_eq!((log.lease(1, 1_001, Slot::Whole), log.left(1)), (Folded::Done, 1_001));
}

#[test]
fn a_number_is_the_first_campaigns_and_an_id_has_one() {
    let mut log = Log::default();
    let Event::CampaignSet(one) = set(1_000, None) else { panic!() };
    let of = |no, id: &str| CampaignSet { campaign: CampaignNo(no), id: id.into(), ..one.clone() };
    let euro = CampaignSet { currency: Currency(*b"EUR"), ..of(7, "a") };
    let edit = CampaignSet { total: Nanos(5), ..of(7, "a") };
    let events = [of(7, "a"), of(7, "b"), of(8, "a"), euro, of(8, "b"), edit];
    let folded = events.map(|set| log.append(Event::CampaignSet(set)));
    assert_eq!(folded.map(|folded| folded == Folded::Done), [true, false, false, false, true, true]);
    assert_eq!(
        (log.books.number("a"), log.books.number("b"), log.books.numbers.next()),
        (Some(CampaignNo(7)), Some(CampaignNo(8)), CampaignNo(9))
    );
    assert_eq!((log.books.campaigns[&CampaignNo(7)].total, log.books.campaigns.len()), (Nanos(5), 2));
}

#[test]
fn a_node_whose_epoch_was_taken_takes_the_next_and_one_whose_lease_was_refused_asks_again() {
    let mut log = Log::default();
    log.append(set(1_000, None));
    let grids = [(); 2].map(|()| Arc::new(Grids::new(&[LIFE])));
    let hot = |log: &Log, node| {
        let grids = grids[usize::from(node) - 1].clone();
        let mut hot = Hot::new(log.books.clone(), NodeId(node), grids, PROMISE).in_fleet(Process(u64::from(node)));
        hot.set_plan(NO, Plan { zone: Zone::utc(), active: true, highest_bid: Nanos(125) });
        hot
    };
    let (mut a, mut b) = (hot(&log, 1), hot(&log, 2));
    let mut all = |a: &mut Hot, b: &mut Hot, event: Event| {
        let stamped = log.stamped(event);
        log.now_ms += 10;
        let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
        let folded = fold(&mut log.books, &stamped);
        assert_eq!((a.apply(&stamped, &mut of_a), b.apply(&stamped, &mut of_b)), (folded, folded));
        a.tick(stamped.at.plus(10), &mut of_a);
        b.tick(stamped.at.plus(10), &mut of_b);
        (of_a, of_b)
    };
    let (first, second) = (a.started(), b.started());
    let (asked, _) = all(&mut a, &mut b, first);
    all(&mut a, &mut b, second);
    assert_eq!((a.state(), b.state()), (StartState::Lives, StartState::Begins));
    // What is the first one's, the other takes for its own for no moment, although it has the epoch too.
    let of_first = Event::NodeRunning { epoch: Epoch(1), sent_at: START };
    all(&mut a, &mut b, of_first);
    assert!(grids[0].fence.is_open(START) && !grids[1].fence.is_open(START));
    let again = b.start_again();
    let (_, asked_too) = all(&mut a, &mut b, again);
    assert_eq!((b.state(), b.epoch()), (StartState::Lives, Epoch(2)));
    // Each wants all that there is.
    let ([one], [other]) = (&asked[..], &asked_too[..]) else { panic!("{asked:?} {asked_too:?}") };
    all(&mut a, &mut b, one.clone());
    let leased = |hot: &mut Hot| hot.account(NO).open(Day(0)).is_some();
    assert!(leased(&mut a) && !leased(&mut b) && !b.all_leased());
    all(&mut a, &mut b, other.clone());
    assert_eq!((leased(&mut b), a.view(NO).map(|v| v.held), b.view(NO).map(|v| v.withheld)), {
        (false, Some(Nanos(1_000)), Some(Nanos(1_000)))
    });
    // What the first returns, the other asks for.
    let mut back = Vec::new();
    a.return_all(&mut back);
    let (_, asked_again) = all(&mut a, &mut b, back.remove(0));
    assert!(matches!(asked_again[..], [Event::LeaseGranted { .. }]), "{asked_again:?}");
    // A twin of the second node: it ends.
    all(&mut a, &mut b, started_by(2, 3, Process(77)));
    assert_eq!((a.state(), b.state()), (StartState::Lives, StartState::Ended));
    let mut out = Vec::new();
    b.tick(START.plus(1_000_000), &mut out);
    b.look_after_lease_now(NO, &mut out);
    assert_eq!((out, b.running(START)), (vec![], None));
}
