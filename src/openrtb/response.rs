//! Writing BidResponse (OpenRTB 2.6 section 4.2) without building it first: every part of a bid that does not depend
//! on the request is rendered once (see [`super::fragment`]) and copied.
//!
//! What is written never holds a null, an exponent or an empty `seatbid` (exchange adapters reject those).

use super::notice::NoticeUrls;
use super::value::Id;
use crate::event::NoticeKind;
use crate::ids::Currency;
use crate::json::escape::write_string;
use crate::money::{Nanos, Quantity};

/// One bid.
#[derive(Clone, Copy, Debug)]
pub struct BidParts<'a> {
    /// Ours, for tracking.
    pub id: &'a str,
    pub impid: &'a Id<'a>,
    /// Per impression; written as a CPM.
    pub price: Nanos,
    /// Base64url, as [`super::token::KeyRing::sign_into`] writes it.
    pub token: &'a [u8],
    /// Of the impression; other than one, the bill asks for the quantity won.
    pub quantity: Quantity,
    pub urls: &'a NoticeUrls,
    /// The creative's members, `"adm":"...","adomain":[...],...`: at least one, without a comma at either end.
    pub fragment: &'a [u8],
    /// Where in `fragment` `markup_token` goes, ascending (the markup's own tracking URLs); empty for nowhere.
    pub token_slots: &'a [u32],
    /// As [`super::token::KeyRing::sign_markup_into`] writes it; may be empty where there are no slots.
    pub markup_token: &'a [u8],
    pub dealid: Option<&'a Id<'a>>,
    /// Seconds.
    pub exp: Option<u32>,
    /// For creatives that fit several sizes: then `fragment` has none.
    pub size: Option<(u32, u32)>,
    /// [`super::codes::Protocol`] that a spot is served as.
    pub protocol: Option<u16>,
}

/// The bids of one seat.
#[derive(Clone, Copy, Debug)]
pub struct SeatBid<'a> {
    pub seat: &'a str,
    pub bids: &'a [BidParts<'a>],
}

/// Writes a response bid by bid.
#[derive(Debug)]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    seat_is_open: bool,
    has_bids: bool,
}

impl<'o> ResponseWriter<'o> {
    /// Starts the response to the request with this id.
    pub fn new(out: &'o mut Vec<u8>, request_id: &Id) -> ResponseWriter<'o> {
        let start = out.len();
        out.extend_from_slice(b"{\"id\":");
        request_id.write_literal(out);
        ResponseWriter { out, start, seat_is_open: false, has_bids: false }
    }

    /// The bids that follow are this seat's; call it only when there is at least one.
    pub fn seat(&mut self, seat: &str, first: &BidParts) {
        self.close_seat();
        self.out.extend_from_slice(if self.has_bids { b",{\"seat\":" } else { b",\"seatbid\":[{\"seat\":" });
        write_string(seat, self.out);
        self.out.extend_from_slice(b",\"bid\":[");
        self.seat_is_open = true;
        self.has_bids = true;
        write_bid(self.out, first);
    }

    /// One more bid of the same seat; without a seat it is dropped.
    pub fn bid(&mut self, bid: &BidParts) {
        if self.seat_is_open {
            self.out.push(b',');
            write_bid(self.out, bid);
        }
    }

    fn close_seat(&mut self) {
        if self.seat_is_open {
            self.out.extend_from_slice(b"]}");
            self.seat_is_open = false;
        }
    }

    /// Ends the response. Without a bid everything is taken back and the answer is false: that is a no-bid.
    pub fn finish(mut self, bidid: &str, cur: Currency) -> bool {
        if !self.has_bids {
            self.out.truncate(self.start);
            return false;
        }
        self.close_seat();
        self.out.extend_from_slice(b"],\"bidid\":");
        write_string(bidid, self.out);
        self.out.extend_from_slice(b",\"cur\":");
        write_string(cur.as_str(), self.out);
        self.out.push(b'}');
        true
    }
}

/// Writes a whole response; seats without bids are left out. False, and nothing written, when there is no bid.
pub fn write_response(out: &mut Vec<u8>, request_id: &Id, seats: &[SeatBid], bidid: &str, cur: Currency) -> bool {
    let mut writer = ResponseWriter::new(out, request_id);
    for seat in seats {
        if let Some((first, others)) = seat.bids.split_first() {
            writer.seat(seat.seat, first);
            others.iter().for_each(|bid| writer.bid(bid));
        }
    }
    writer.finish(bidid, cur)
}

/// The body of a no-bid, for exchanges that want one: `{"id":...,"nbr":n}` (section 4.2.1; the code is one of
/// [`super::codes::NoBidReason`] or, from 500 on, the exchange's own).
pub fn write_no_bid(out: &mut Vec<u8>, request_id: &Id, nbr: u16) {
    out.extend_from_slice(b"{\"id\":");
    request_id.write_literal(out);
    out.extend_from_slice(b",\"nbr\":");
    write_uint(u64::from(nbr), out);
    out.push(b'}');
}

fn write_bid(out: &mut Vec<u8>, bid: &BidParts) {
    let multiplied = bid.quantity != Quantity::ONE;
    out.extend_from_slice(b"{\"id\":");
    write_string(bid.id, out);
    out.extend_from_slice(b",\"impid\":");
    bid.impid.write_literal(out);
    out.extend_from_slice(b",\"price\":");
    write_cpm(bid.price, out);
    out.extend_from_slice(b",\"nurl\":\"");
    bid.urls.write(NoticeKind::Win, bid.token, multiplied, out);
    out.extend_from_slice(b"\",\"burl\":\"");
    bid.urls.write(NoticeKind::Bill, bid.token, multiplied, out);
    out.extend_from_slice(b"\",\"lurl\":\"");
    bid.urls.write(NoticeKind::Loss, bid.token, multiplied, out);
    out.extend_from_slice(b"\",");
    if let Some(dealid) = bid.dealid {
        out.extend_from_slice(b"\"dealid\":");
        dealid.write_literal(out);
        out.push(b',');
    }
    if let Some(exp) = bid.exp {
        out.extend_from_slice(b"\"exp\":");
        write_uint(u64::from(exp), out);
        out.push(b',');
    }
    if let Some(protocol) = bid.protocol {
        out.extend_from_slice(b"\"protocol\":");
        write_uint(u64::from(protocol), out);
        out.push(b',');
    }
    if let Some((w, h)) = bid.size {
        out.extend_from_slice(b"\"w\":");
        write_uint(u64::from(w), out);
        out.extend_from_slice(b",\"h\":");
        write_uint(u64::from(h), out);
        out.push(b',');
    }
    let mut rest = 0;
    for &slot in bid.token_slots {
        if let Some(piece) = bid.fragment.get(rest..slot as usize) {
            out.extend_from_slice(piece);
            out.extend_from_slice(bid.markup_token);
            rest = slot as usize;
        }
    }
    out.extend_from_slice(bid.fragment.get(rest..).unwrap_or_default());
    out.push(b'}');
}

/// Appends digits.
pub(super) fn write_uint(value: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at, mut rest) = ([0u8; 20], 20, value);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a price per impression as a CPM: what [`Nanos::as_cpm`] shows, without the formatting machinery.
pub fn write_cpm(price: Nanos, out: &mut Vec<u8>) {
    if price.0 < 0 {
        out.push(b'-');
    }
    let magnitude = price.0.unsigned_abs();
    write_uint(magnitude / 1_000_000, out);
    let mut fraction = magnitude % 1_000_000;
    let mut digits = *b".000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&digits[..7 - zeros.min(4)]);
}
