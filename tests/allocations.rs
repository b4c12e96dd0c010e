//! A typical request is read with hardly an allocation: strings and lists stay in the body.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gavel::openrtb::parse;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system allocator unchanged; counting touches only a plain thread-local.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(body: &[u8]) -> usize {
    let before = COUNT.get();
    let request = parse(body);
    let taken = COUNT.get() - before;
    assert!(request.is_ok());
    taken
}

#[test]
fn a_banner_request_allocates_once_for_its_deals() {
    assert_eq!(allocations(include_bytes!("fixtures/openrtb/banner.json")), 1);
}

#[test]
fn lists_do_not_allocate_per_entry() {
    let blocked: Vec<String> = (0..10_000).map(|i| format!("\"IAB{i}\"")).collect();
    let body = format!("{{\"id\":\"r\",\"imp\":[{{\"id\":\"1\"}}],\"bcat\":[{}]}}", blocked.join(","));
    assert_eq!(allocations(body.as_bytes()), 0);
}
