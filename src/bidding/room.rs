//! How long an answer may become. It is kept before money is set aside for a bid: no bid is made that is not sent.

use super::creative::{Asset, Creative, Kind, Markup};
use super::decide::Served;
use super::fit::answer;

/// Bytes of one answer, as they are estimated: more than a thousand ordinary bids. The first bid goes whatever its creative
/// is.
pub const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// Of a bid beside its markup and the ids it repeats: its notice URLs, three tokens, names and numbers.
const BID_BYTES: usize = 2_048;
const TOKEN_BYTES: usize = 256;
/// Of one asset or media file beside its texts.
const PART_BYTES: usize = 128;
/// What becomes of a byte of markup that is made for the impression, at most: a quote becomes `&quot;` or `\\\"`.
const ESCAPED: usize = 6;

/// What is left of the answer to one request.
#[derive(Debug, Default)]
pub(super) struct Room {
    left_bytes: usize,
    used: bool,
    full: bool,
}

impl Room {
    pub fn begin(&mut self) {
        *self = Room { left_bytes: MAX_RESPONSE_BYTES, used: false, full: false };
    }

    /// No more bids.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether there is room for a bid; without it there are no more.
    pub fn has(&mut self, bytes: usize) -> bool {
        self.full |= self.used && bytes > self.left_bytes;
        !self.full
    }

    pub fn take(&mut self, bytes: usize) {
        (self.left_bytes, self.used) = (self.left_bytes.saturating_sub(bytes), true);
    }
}

/// What a bid will take, its fragment and the ids aside; a little more than it does.
pub(super) fn bid_bytes(creative: &Creative, tokens: usize, served: &Served) -> usize {
    let own = match (served, &creative.kind) {
        (Served::Native(request), Kind::Native { assets, link }) => {
            let answered = request.assets.iter().filter_map(|wanted| answer(assets, wanted));
            link.len() + answered.map(|asset| text(asset) + PART_BYTES).sum::<usize>()
        }
        (Served::Spot(choice), Kind::Video { spot, .. } | Kind::Audio { spot }) => {
            let spot_bytes = match &spot.markup {
                Markup::Vast(_) => 0,
                Markup::Wrapper(url) => url.len() + PART_BYTES,
                Markup::Media(media) => {
                    let files = choice.files.iter().filter_map(|at| media.get(usize::from(*at)));
                    files.map(|file| file.url.len() + file.mime.len() + PART_BYTES).sum()
                }
            };
            spot_bytes + creative.landing_url.as_ref().map_or(0, |url| url.len()) + 4 * creative.id.len()
        }
        _ => 0,
    };
    BID_BYTES + tokens * TOKEN_BYTES + own * ESCAPED
}

fn text(asset: &Asset) -> usize {
    match asset {
        Asset::Title { text } => text.len(),
        Asset::Image { url, .. } => url.len(),
        Asset::Data { value, .. } => value.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bid_goes_and_then_what_fits() {
        let mut room = Room::default();
        room.begin();
        assert!(room.has(2 * MAX_RESPONSE_BYTES));
        room.take(MAX_RESPONSE_BYTES - 10);
        assert!(room.has(10) && !room.is_full());
        assert!(!room.has(11) && room.is_full());
        assert!(!room.has(1), "smaller ones do not come before others");
        room.begin();
        assert!(room.has(11));
    }
}
