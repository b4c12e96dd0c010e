//! A typical request is read with hardly an allocation: strings and lists stay in the body. Consent strings are decoded
//! where they stand, and remembered with one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gavel::openrtb::consent::{Bases, Cache, Privacy, Sections, Vendor};
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

#[test]
fn consent_is_decoded_without_an_allocation_and_remembered_with_two() {
    let consent = include_str!("fuzz/corpus/consent/gpp-many");
    let vendor = Vendor { id: 755, purpose_2: Bases::CONSENT };
    let body =
        format!("{{\"id\":\"r\",\"imp\":[{{\"id\":\"1\"}}],\"regs\":{{\"gpp\":\"{consent}\",\"gpp_sid\":[2,6,7]}}}}");
    let request = parse(body.as_bytes()).unwrap();
    let mut cache = Cache::default();
    let mut taken = |work: &mut dyn FnMut(&mut Cache)| {
        let before = COUNT.get();
        work(&mut cache);
        COUNT.get() - before
    };
    assert_eq!(taken(&mut |_| assert!(Sections::decode(consent, Some(&vendor)).permit_tcf())), 0);
    // The table, and the text.
    let judge = &mut |cache: &mut Cache| assert!(Privacy::of(&request, Some(&vendor), cache).personal);
    assert_eq!([taken(judge), taken(judge)], [2, 0]);
}
