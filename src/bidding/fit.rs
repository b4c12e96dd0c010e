//! Whether a creative may be shown in an impression, beyond its format.

use super::compiled::CompiledCreative;
use super::creative::{Asset, Creative, ImageKind, Kind, Spot};
use super::lists::{Numbers, SpotLists};
use super::offer::Formats;
use super::reason::Reason;
use super::subject::Subject;
use super::vast;
use crate::openrtb::audio_video::AudioVideo;
use crate::openrtb::imp::Imp;
use crate::openrtb::list::IntList;
use crate::openrtb::native::{self, AssetKind, NativeRequest};
use crate::openrtb::request::BidRequest;

/// Checks a creative whose format the impression offers; says what does not fit.
pub(super) fn fits(
    compiled: &CompiledCreative,
    request: &BidRequest,
    imp: &Imp,
    formats: &mut Formats,
    subject: &mut Subject,
) -> Result<(), Reason> {
    let creative = &compiled.creative;
    if imp.secure == Some(true) && !creative.secure {
        return Err(Reason::Insecure);
    }
    let battr = match &creative.kind {
        Kind::Banner { .. } => imp.banner.as_ref().map(|b| (b.battr, &formats.banner_battr)),
        Kind::Video { spot, .. } => match &imp.video {
            Some(video) if spot_fits(spot, video, &formats.video) => Some((video.battr, &formats.video.battr)),
            _ => return Err(Reason::Creative),
        },
        Kind::Audio { spot } => match &imp.audio {
            Some(audio) if spot_fits(spot, audio, &formats.audio) => Some((audio.battr, &formats.audio.battr)),
            _ => return Err(Reason::Creative),
        },
        Kind::Native { assets, .. } => {
            if !formats.markup(imp).is_some_and(|markup| answers(assets, markup)) {
                return Err(Reason::Creative);
            }
            imp.native.as_ref().map(|n| (n.battr, &formats.native_battr))
        }
    };
    if battr.is_some_and(|(battr, numbers)| blocked_attribute(creative, battr, numbers)) {
        return Err(Reason::BlockedAttribute);
    }
    if subject.blocks_advertiser(request, compiled.domains()) {
        return Err(Reason::BlockedAdvertiser);
    }
    if subject.blocks_category(request, creative, compiled.categories()) {
        return Err(Reason::BlockedCategory);
    }
    Ok(())
}

fn blocked_attribute(creative: &Creative, battr: IntList, numbers: &Numbers) -> bool {
    !battr.is_empty() && creative.attr.iter().any(|a| numbers.have(battr, i64::from(*a)))
}

/// Duration, protocol and file types (OpenRTB 2.6 sections 3.2.7 and 3.2.8).
fn spot_fits(spot: &Spot, offered: &AudioVideo, lists: &SpotLists) -> bool {
    let linear = offered.linearity.is_none_or(|l| l == 1);
    linear && allows_duration(spot.duration_s, offered, lists) && vast::choose(spot, offered, lists).is_some()
}

/// Sections 3.2.7 and 7.6: `rqddurs` comes before the two bounds.
fn allows_duration(seconds: u32, offered: &AudioVideo, lists: &SpotLists) -> bool {
    if !offered.rqddurs.is_empty() {
        return lists.durations.have(offered.rqddurs, i64::from(seconds));
    }
    offered.minduration.is_none_or(|least| seconds >= least) && offered.maxduration.is_none_or(|most| seconds <= most)
}

/// Whether a native creative has every required asset (Native 1.2 section 4.2).
pub fn answers(assets: &[Asset], request: &NativeRequest) -> bool {
    request.assets.iter().filter(|a| a.required).all(|wanted| wanted.id.is_some() && answer(assets, wanted).is_some())
}

/// The asset that answers `wanted`.
pub fn answer<'a>(assets: &'a [Asset], wanted: &native::Asset) -> Option<&'a Asset> {
    assets.iter().find(|have| match (have, wanted.kind) {
        (Asset::Title { text }, Some(AssetKind::Title { len })) => len == 0 || text.chars().count() <= len as usize,
        (Asset::Image { kind, w, h, url }, Some(AssetKind::Img { img_type, w: ww, h: wh, wmin, hmin, mimes })) => {
            let kind_fits = match img_type {
                Some(1) => *kind == ImageKind::Icon,
                Some(3) | None => *kind == ImageKind::Main,
                Some(_) => false,
            };
            let sized = ww > 0 || wh > 0;
            let exact = (ww == 0 || ww == *w) && (wh == 0 || wh == *h) && (sized || (wmin == 0 && hmin == 0));
            let at_least = (wmin > 0 || hmin > 0) && *w >= wmin && *h >= hmin;
            kind_fits && (at_least || exact) && mimes.allow(url)
        }
        (Asset::Data { data_type, value }, Some(AssetKind::Data { data_type: wanted, len })) => {
            i64::from(*data_type) == wanted && (len == 0 || value.chars().count() <= len as usize)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_durations_come_before_bounds() {
        let allowed = |spot: &str| {
            let body = format!("{{\"id\":\"r\",\"imp\":[{{\"id\":\"1\",\"video\":{{{spot}}}}}]}}");
            let request = crate::openrtb::parse(body.as_bytes()).unwrap();
            let (offered, lists) = (request.imp[0].video.as_ref().unwrap(), SpotLists::default());
            let all = [4, 5, 15, 20, 30, 31].into_iter();
            all.filter(|seconds| allows_duration(*seconds, offered, &lists)).collect::<Vec<_>>()
        };
        assert_eq!(allowed("\"minduration\":5,\"maxduration\":30"), [5, 15, 20, 30]);
        assert_eq!(allowed("\"rqddurs\":[15,31],\"minduration\":5,\"maxduration\":30"), [15, 31]);
        assert_eq!(allowed(""), [4, 5, 15, 20, 30, 31]);
    }
}
