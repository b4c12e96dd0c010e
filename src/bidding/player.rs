//! What a video or audio offer takes, its lists made ready once: a request may fill them with ten thousand entries, and
//! asks for as many creatives.

use smallvec::SmallVec;

use super::key::key;
use crate::openrtb::audio_video::AudioVideo;
use crate::openrtb::list::IntList;

/// How media files are delivered: progressively (AdCOM 1.0, list of delivery methods).
const PROGRESSIVE: i64 = 2;

/// The numbers of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Bit n is n: almost all lists have no others.
    low: u64,
    /// In order.
    others: SmallVec<[i64; 2]>,
}

impl Numbers {
    pub fn of(list: IntList) -> Numbers {
        let mut numbers = Numbers::default();
        if list.is_empty() {
            return numbers;
        }
        for number in list {
            match number {
                0..64 => numbers.low |= 1 << number,
                other => numbers.others.push(other),
            }
        }
        numbers.others.sort_unstable();
        numbers
    }

    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.others.is_empty()
    }

    pub fn contains(&self, number: i64) -> bool {
        match number {
            0..64 => self.low & 1 << number != 0,
            other => !self.others.is_empty() && self.others.binary_search(&other).is_ok(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Player {
    pub w: Option<u32>,
    pub h: Option<u32>,
    pub protocols: Numbers,
    pub battr: Numbers,
    /// Files may be delivered as we do.
    pub progressive: bool,
    linear: bool,
    /// Seconds; where they are listed only those.
    durations: Numbers,
    duration: (u32, u32),
    /// Kilobits per second; `None` is no bound.
    bitrates: Option<(u32, u32)>,
    /// Keys, in order.
    mimes: SmallVec<[u64; 8]>,
}

impl Player {
    pub fn of(offered: &AudioVideo) -> Player {
        let mut mimes: SmallVec<[u64; 8]> = offered.mimes.iter().map(|mime| key(&mime)).collect();
        mimes.sort_unstable();
        let bitrates =
            (offered.minbitrate.unwrap_or(0), offered.maxbitrate.filter(|most| *most > 0).unwrap_or(u32::MAX));
        let bounded = bitrates.0 > 0 || bitrates.1 < u32::MAX;
        Player {
            w: offered.w,
            h: offered.h,
            protocols: Numbers::of(offered.protocols),
            battr: Numbers::of(offered.battr),
            progressive: offered.delivery.is_empty() || offered.delivery.contains(PROGRESSIVE),
            linear: offered.linearity.is_none_or(|l| l == 1),
            durations: Numbers::of(offered.rqddurs),
            duration: (offered.minduration.unwrap_or(0), offered.maxduration.unwrap_or(u32::MAX)),
            bitrates: bounded.then_some(bitrates),
            mimes,
        }
    }

    /// Whether a spot of `seconds` fits (OpenRTB 2.6 sections 3.2.7 and 7.6: `rqddurs` comes before the two bounds).
    pub fn allows_duration(&self, seconds: u32) -> bool {
        match self.durations.is_empty() {
            true => (self.duration.0..=self.duration.1).contains(&seconds),
            false => self.durations.contains(i64::from(seconds)),
        }
    }

    /// Only linear spots are ours.
    pub fn is_linear(&self) -> bool {
        self.linear
    }

    pub fn has_mime(&self, mime: &str) -> bool {
        self.mimes.binary_search(&key(mime)).is_ok()
    }

    /// Whether a file of that bitrate fits; one that nobody knows does not where it is bounded.
    pub fn allows_bitrate(&self, kbps: Option<u32>) -> bool {
        match (self.bitrates, kbps) {
            (None, _) => true,
            (Some((least, most)), Some(kbps)) => (least..=most).contains(&kbps),
            (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_list() {
        let body = br#"{"id":"r","imp":[{"id":"1","video":{"mimes":["a/b"],"battr":[3,"63",64,-1,70000,3,null],"protocols":[]}}]}"#;
        let request = crate::openrtb::parse(body).unwrap();
        let player = Player::of(request.imp[0].video.as_ref().unwrap());
        let found: Vec<i64> = (-2..70_002).filter(|number| player.battr.contains(*number)).collect();
        assert_eq!(found, [-1, 3, 63, 64, 70_000]);
        assert!(player.protocols.is_empty() && !player.battr.is_empty());
        assert!(player.has_mime("a/b") && !player.has_mime("a/c"));
    }

    #[test]
    fn listed_durations_come_before_bounds() {
        let allowed = |spot: &str| {
            let body = format!("{{\"id\":\"r\",\"imp\":[{{\"id\":\"1\",\"video\":{{{spot}}}}}]}}");
            let request = crate::openrtb::parse(body.as_bytes()).unwrap();
            let player = Player::of(request.imp[0].video.as_ref().unwrap());
            [4, 5, 15, 20, 30, 31].into_iter().filter(|seconds| player.allows_duration(*seconds)).collect::<Vec<_>>()
        };
        assert_eq!(allowed("\"minduration\":5,\"maxduration\":30"), [5, 15, 20, 30]);
        assert_eq!(allowed("\"rqddurs\":[15,31],\"minduration\":5,\"maxduration\":30"), [15, 31]);
        assert_eq!(allowed(""), [4, 5, 15, 20, 30, 31]);
    }
}
