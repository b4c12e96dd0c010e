//! A bid request that is kept whole, so that other campaigns, prices or models can decide on it later.

use crate::clock::UnixMs;
use crate::ids::{Epoch, NodeId, ReservationId};
use crate::wire::{Put, Take};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// User data might be used, and stands in the body; without that it was left out.
    pub personal: bool,
    /// [`crate::ids::name_hash`] of the exchange's name.
    pub exchange: u32,
    /// When it was decided on.
    pub decided_at: UnixMs,
    /// The request's JSON.
    pub body: String,
    /// The bids that it got: the position of the impression, and what it is called in the events of the bid.
    pub bids: Vec<(u16, ReservationId)>,
}

const PERSONAL: u8 = 1;

impl Recorded {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(if self.personal { PERSONAL } else { 0 });
        out.put_u32(self.exchange);
        out.put_i64(self.decided_at.0);
        out.put_bytes(self.body.as_bytes());
        for (imp, id) in &self.bids {
            out.put_u16(*imp);
            out.put_u16(id.node.0);
            out.put_u32(id.epoch.0);
            out.put_u32(id.bucket);
            out.put_u32(id.seq);
        }
    }

    /// Takes all that is left.
    pub fn decode(t: &mut Take) -> Option<Recorded> {
        let flags = t.u8()?;
        if flags & !PERSONAL != 0 {
            return None;
        }
        let (exchange, decided_at, body) = (t.u32()?, UnixMs(t.i64()?), t.string()?);
        let mut bids = Vec::new();
        while t.end().is_none() {
            let (imp, node, epoch) = (t.u16()?, NodeId(t.u16()?), Epoch(t.u32()?));
            bids.push((imp, ReservationId { node, epoch, bucket: t.u32()?, seq: t.u32()? }));
        }
        Some(Recorded { personal: flags == PERSONAL, exchange, decided_at, body, bids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_request_round_trips_and_half_a_bid_is_none() {
        let id = |seq| (7, ReservationId { node: NodeId(1), epoch: Epoch(2), bucket: 3, seq });
        for bids in [vec![], vec![id(1)], vec![id(1), id(u32::MAX)]] {
            let (decided_at, body) = (UnixMs(1_700_000_000_000), "{\"id\":\"ü\"}".to_owned());
            let whole = 2 + 1 + 4 + 8 + 4 + body.len();
            let event = Event::Request(Recorded { personal: true, exchange: 7, decided_at, body, bids });
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            assert_eq!(Event::decode(&bytes), Some(event));
            for cut in (0..bytes.len()).filter(|cut| *cut < whole || !(cut - whole).is_multiple_of(16)) {
                assert_eq!(Event::decode(&bytes[..cut]), None, "{cut}");
            }
            bytes[2] = 2;
            assert_eq!(Event::decode(&bytes), None, "a flag that nobody knows");
        }
    }
}
