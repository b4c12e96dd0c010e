//! How long an event takes to be folded into the books, by what it is: the log's thread does it for each, and a start, a replay
//! and an audit for all. Books of 1,000 campaigns, with 20,000 reservations under way.

#[path = "support/money.rs"]
mod money;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gavel::clock::UnixMs;
use gavel::event::{Event, NoticeKind, Offset, Stamped};
use gavel::ledger::{Books, fold_on};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const BIDS: u32 = 4 * money::DELAY;

/// Events as they come next in the log.
fn stamped(books: &Books, events: impl Iterator<Item = Event>) -> Vec<Stamped> {
    let next = books.next.0;
    events.zip(next..).map(|(event, offset)| Stamped { offset: Offset(offset), at: NOW, event }).collect()
}

fn all(books: &mut Books, events: &[Stamped]) {
    for event in events {
        fold_on(books, event).expect("no event is missing");
    }
}

fn folding(c: &mut Criterion) {
    let mut books = Books::default();
    let opening = stamped(&books, money::opening());
    all(&mut books, &opening);
    let mut group = c.benchmark_group("fold");
    let mut bench = |name: &str, books: &mut Books, wanted: &dyn Fn(&Event) -> bool| {
        let events = stamped(books, money::market(BIDS, NOW).filter(wanted));
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(name, |b| {
            b.iter_batched_ref(|| books.clone(), |books| all(books, &events), BatchSize::LargeInput);
        });
        all(books, &events);
    };
    let notice = |wanted: NoticeKind| move |event: &Event| matches!(event, Event::Notice(n) if n.kind == wanted);
    bench("bids", &mut books, &|event| matches!(event, Event::Bid(_)));
    bench("wins", &mut books, &notice(NoticeKind::Win));
    bench("bills", &mut books, &notice(NoticeKind::Bill));
    bench("losses", &mut books, &notice(NoticeKind::Loss));
    bench("bills that came before", &mut books, &notice(NoticeKind::Bill));
    group.finish();
    let billed: u64 = books.campaigns.values().map(|book| book.billed).sum();
    assert_eq!(billed, u64::from(BIDS - money::DELAY).div_ceil(4));
}

criterion_group!(benches, folding);
criterion_main!(benches);
