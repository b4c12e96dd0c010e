//! One generator thread: a dispatcher that hands out what is due, and one worker per connection.
//!
//! The dispatcher never waits for an answer. When all connections are busy a request waits in the queue, and the
//! waiting is part of its latency.

use crate::arrivals::Arrivals;
use crate::checkout::play::After;
use crate::checkout::requests::Payments;
use crate::exchange::Exchange;
use crate::journal::{Ending, Journal, Ledger};
use crate::journal_file::JournalFile;
use crate::notice::Notice;
use crate::plan::Plan;
use crate::requests::Requests;
use crate::series::End;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::timer::{Timer, thread_cpu_ns};
use crate::worker::{Templates, work};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Notices that may wait for their time in one thread, some hundred bytes each.
const LATER_LIMIT: usize = 1_000_000;
/// Between the last bid and the first notice that was held for it: the server comes to rest.
const HELD_PAUSE_NS: u64 = 500_000_000;
/// How often progress is published and the stop flag is looked at when nothing else is due.
const LOOK_NS: u64 = 20_000_000;
/// The same while only answers are awaited.
const DRAIN_LOOK_NS: u64 = 1_000_000;

/// How long after the last planned request and the last delay of a notice the run waits for a slow server.
const DRAIN_LIMIT_NS: u64 = 60_000_000_000;

pub enum Job {
    Bid { planned_ns: u64, index: u64 },
    Check { planned_ns: u64, index: u64 },
    Notice(Box<Notice>),
    After(Box<After>),
}

/// What waits for its time, ordered by that.
struct Later(Reverse<u64>, Job);

impl PartialEq for Later {
    fn eq(&self, other: &Later) -> bool {
        self.0 == other.0
    }
}
impl Eq for Later {}
impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Later) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Later {
    fn cmp(&self, other: &Later) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

pub struct Core {
    pub plan: Arc<Plan>,
    pub shared: Arc<Shared>,
    pub requests: Requests,
    pub payments: Payments,
    pub templates: Templates,
    pub stats: RefCell<Stats>,
    pub exchange: RefCell<Exchange>,
    in_flight: Cell<usize>,
    /// Nothing more is to be sent.
    over: Cell<bool>,
    start: Instant,
    queue: RefCell<VecDeque<Job>>,
    jobs: Notify,
    closing: Cell<bool>,
    later: RefCell<BinaryHeap<Later>>,
    /// Notices that wait for the last bid; None when they no longer do.
    held: RefCell<Option<Vec<Notice>>>,
    /// When the dispatcher will look again; an earlier notice must wake it.
    looks_at_ns: Cell<u64>,
    wake: Notify,
}

pub struct InFlight<'a>(&'a Cell<usize>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What a thread brings home.
pub struct ShardResult {
    pub stats: Stats,
    pub ledger: Ledger,
}

/// Runs one thread's share of the plan to its end.
pub fn run(
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    shard: u32,
    start: Instant,
    file: Option<Arc<JournalFile>>,
) -> Result<ShardResult, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let journal = Journal::new(&plan.currencies, &plan.rates, file);
    let core = Rc::new(Core {
        requests: Requests::new(&plan),
        payments: Payments::new(&plan),
        templates: Templates::new(&plan)?,
        stats: RefCell::default(),
        exchange: RefCell::new(Exchange::new(Arc::clone(&plan), shard, journal)),
        in_flight: Cell::new(0),
        over: Cell::new(false),
        start,
        queue: RefCell::default(),
        jobs: Notify::new(),
        closing: Cell::new(false),
        later: RefCell::default(),
        held: RefCell::new(plan.notice_rate.map(|_| Vec::new())),
        looks_at_ns: Cell::new(0),
        wake: Notify::new(),
        plan,
        shared,
    });
    runtime.block_on(async {
        let connections = core.plan.share_of(core.plan.connections as u64, shard);
        let workers: Vec<_> = (0..connections).map(|_| tokio::task::spawn_local(work(Rc::clone(&core)))).collect();
        let dispatched = dispatch(&core, shard).await.map_err(|error| format!("the timer failed: {error}"));
        core.closing.set(true);
        core.jobs.notify_waiters();
        for worker in workers {
            worker.await.map_err(|error| format!("a connection's task died: {error}"))?;
        }
        dispatched
    })?;
    drop(runtime);
    let core = Rc::into_inner(core).ok_or("a task outlived its thread")?;
    let exchange = core.exchange.into_inner();
    let mut stats = core.stats.into_inner();
    stats.played = exchange.played;
    stats.cpu_ns = thread_cpu_ns();
    Ok(ShardResult { stats, ledger: exchange.journal.into_ledger() })
}

async fn dispatch(core: &Core, shard: u32) -> std::io::Result<()> {
    let plan = &core.plan;
    let timer = Timer::new()?;
    let limit = plan.share_of(plan.requests_limit, shard);
    let seed = plan.seed.wrapping_add(0x5851_F42D_4C95_7F2D_u64.wrapping_mul(u64::from(shard) + 1));
    let mut arrivals = Arrivals::new(plan.pattern, plan.rate, shard, plan.threads, limit, plan.end_ns, seed)
        .stepped(plan.steps.clone());
    let drain_ns = plan.late_after_ns * 6 / 5 + plan.bill_delay_ns + DRAIN_LIMIT_NS;
    let (mut open, mut index, mut published_ns, mut drained_ns) = (true, u64::from(shard), 0, u64::MAX);
    loop {
        let now_ns = core.now_ns();
        if core.shared.stopped() || now_ns >= drained_ns {
            open = false;
            core.over.set(true);
            core.drop_waiting();
        }
        open = open && !core.shared.enough_bids();
        while open {
            match arrivals.peek() {
                None => open = false,
                Some(planned_ns) if planned_ns > now_ns => break,
                Some(planned_ns) => {
                    arrivals.pop();
                    core.plan_request(planned_ns, now_ns, index);
                    index += u64::from(plan.threads);
                }
            }
        }
        if !open {
            drained_ns = drained_ns.min(now_ns + drain_ns);
        }
        core.send_due(now_ns);
        if now_ns >= published_ns + LOOK_NS {
            published_ns = now_ns;
            core.publish(shard);
        }
        let next_arrival = if open { arrivals.peek() } else { None };
        let next_notice = core.later.borrow().peek().map(|later| later.0.0);
        if !open && next_notice.is_none() && core.is_idle() {
            if let Some(last_ns) = core.send_held(shard) {
                drained_ns = last_ns + drain_ns;
                continue;
            }
            core.publish(shard);
            return Ok(());
        }
        let look_ns = now_ns + if open { LOOK_NS } else { DRAIN_LOOK_NS };
        let until_ns = [next_arrival, next_notice].into_iter().flatten().fold(look_ns, u64::min);
        core.looks_at_ns.set(until_ns);
        tokio::select! {
            slept = timer.sleep(Duration::from_nanos(until_ns.saturating_sub(core.now_ns()))) => slept?,
            () = core.wake.notified() => {}
        }
    }
}

impl Core {
    pub fn now_ns(&self) -> u64 {
        // The start lies in the future until all threads are ready.
        u64::try_from(Instant::now().saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The next job, or None when the run is over.
    pub fn take_job(&self) -> Option<Job> {
        self.queue.borrow_mut().pop_front()
    }

    /// Counts a job as under way until the guard is dropped, even by a panic: a lost count would never let the run end.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(&self.in_flight)
    }

    /// Whether nothing more is to be sent, not even a notice once more.
    pub fn is_over(&self) -> bool {
        self.over.get() || self.shared.stopped()
    }

    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub fn job_ready(&self) -> tokio::sync::futures::Notified<'_> {
        self.jobs.notified()
    }

    fn plan_request(&self, planned_ns: u64, now_ns: u64, index: u64) {
        let mut stats = self.stats.borrow_mut();
        stats.outcomes.planned += 1;
        stats.last_planned_ns = planned_ns;
        stats.series.offered(planned_ns);
        if planned_ns >= self.plan.warmup_ns {
            stats.lag.record(now_ns - planned_ns);
        }
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= self.plan.queue_limit / self.plan.threads as usize {
            stats.outcomes.unsent += 1;
            stats.series.ended(now_ns, End::Failed);
            return;
        }
        queue.push_back(match self.payments.is_one(index) {
            true => Job::Check { planned_ns, index },
            false => Job::Bid { planned_ns, index },
        });
        stats.backlog_max = stats.backlog_max.max(queue.len() as u64);
        self.jobs.notify_one();
    }

    /// Takes a notice that is to be sent at its time.
    pub fn schedule(&self, notice: Notice) {
        if self.is_over() || self.later.borrow().len() >= LATER_LIMIT {
            return self.drop_notice(&notice);
        }
        if let Some(held) = &mut *self.held.borrow_mut() {
            return match held.len() < LATER_LIMIT {
                true => held.push(notice),
                false => self.drop_notice(&notice),
            };
        }
        self.put_later(notice.due_ns, Job::Notice(Box::new(notice)));
    }

    /// Takes what follows from a check.
    pub fn schedule_after(&self, after: After) {
        if self.is_over() || self.later.borrow().len() >= LATER_LIMIT {
            self.stats.borrow_mut().checks.after_unsent += 1;
            return;
        }
        self.put_later(after.due_ns, Job::After(Box::new(after)));
    }

    fn put_later(&self, due_ns: u64, job: Job) {
        self.later.borrow_mut().push(Later(Reverse(due_ns), job));
        if due_ns < self.looks_at_ns.get() {
            self.looks_at_ns.set(due_ns);
            self.wake.notify_one();
        }
    }

    /// Plans the notices that waited for the last bid, in the order in which they were due; when the last of them is.
    fn send_held(&self, shard: u32) -> Option<u64> {
        let (mut held, rate) = (self.held.take()?, self.plan.notice_rate?);
        held.sort_by_key(|notice| notice.due_ns);
        let (threads, gap_ns) = (f64::from(self.plan.threads), 1e9 / rate);
        let first_ns = (self.now_ns() + HELD_PAUSE_NS) as f64 + f64::from(shard) * gap_ns;
        eprintln!("notices   {} held, to be sent from thread {shard} of {threads}", held.len());
        let due = |place: usize| (first_ns + place as f64 * threads * gap_ns) as u64;
        let last = held.len().checked_sub(1).map(due);
        for (place, mut notice) in held.into_iter().enumerate() {
            notice.due_ns = due(place);
            self.later.borrow_mut().push(Later(Reverse(notice.due_ns), Job::Notice(Box::new(notice))));
        }
        last
    }

    fn send_due(&self, now_ns: u64) {
        let mut later = self.later.borrow_mut();
        while later.peek().is_some_and(|first| first.0.0 <= now_ns) {
            let Some(Later(Reverse(due_ns), job)) = later.pop() else { return };
            if self.plan.notice_rate.is_some() {
                self.stats.borrow_mut().lag.record(now_ns - due_ns);
            }
            let mut queue = self.queue.borrow_mut();
            queue.push_back(job);
            let backlog = queue.len() as u64;
            let mut stats = self.stats.borrow_mut();
            stats.backlog_max = stats.backlog_max.max(backlog);
            self.jobs.notify_one();
        }
    }

    /// The end of a notice's story: tells the journal.
    pub fn end_notice(&self, notice: &Notice, ending: Ending) {
        // Whatever became of the last attempt, an earlier one may have been booked.
        let ending = if ending == Ending::Void && notice.maybe_received { Ending::Unknown } else { ending };
        if ending == Ending::Unknown {
            self.stats.borrow_mut().notice(notice.kind, notice.entry.is_none()).unknown += 1;
        }
        if let Some(entry) = &notice.entry {
            let in_time = self.now_ns().saturating_sub(entry.sent_ns) < self.plan.in_time_ns;
            let first = self.exchange.borrow_mut().journal.notice_ended(entry, notice.effect, ending, in_time);
            if first.is_some() {
                self.shared.billed.fetch_add(1, Relaxed);
            }
        }
    }

    fn drop_notice(&self, notice: &Notice) {
        self.stats.borrow_mut().notice(notice.kind, notice.entry.is_none()).unsent += 1;
        self.end_notice(notice, Ending::Void);
    }

    /// After a stop: forgets everything that was not sent yet.
    fn drop_waiting(&self) {
        self.held.take().into_iter().flatten().for_each(|notice| self.drop_notice(&notice));
        let waiting = std::mem::take(&mut *self.later.borrow_mut());
        let queued = std::mem::take(&mut *self.queue.borrow_mut());
        for job in waiting.into_iter().map(|Later(_, job)| job).chain(queued) {
            match job {
                Job::Bid { .. } | Job::Check { .. } => self.stats.borrow_mut().outcomes.unsent += 1,
                Job::Notice(notice) => self.drop_notice(&notice),
                Job::After(_) => self.stats.borrow_mut().checks.after_unsent += 1,
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.in_flight.get() == 0 && self.queue.borrow().is_empty()
    }

    fn publish(&self, shard: u32) {
        let (gauge, stats) = (&self.shared.gauges[shard as usize], self.stats.borrow());
        let outcomes = &stats.outcomes;
        gauge.planned.store(outcomes.planned, Relaxed);
        gauge.answered.store(stats.answered(), Relaxed);
        gauge.notices.store(stats.notices.iter().map(|notices| notices.sent).sum::<u64>() + stats.forged.sent, Relaxed);
        let errors = outcomes.failed_5xx + outcomes.timeouts + outcomes.connection_errors + outcomes.unusable;
        gauge.errors.store(errors, Relaxed);
        gauge.backlog.store(self.queue.borrow().len() as u64, Relaxed);
        gauge.pending_notices.store(self.later.borrow().len() as u64, Relaxed);
    }
}
