//! Whether a creative may be shown in an impression, beyond its format.

use super::campaign::TextSet;
use super::compiled::CompiledCreative;
use super::creative::{Asset, Creative, ImageKind, Kind, Spot};
use super::reason::Reason;
use super::subject::Subject;
use super::vast;
use crate::openrtb::audio_video::AudioVideo;
use crate::openrtb::imp::Imp;
use crate::openrtb::list::IntList;
use crate::openrtb::native::{self, AssetKind, NativeRequest};
use crate::openrtb::request::BidRequest;

/// Checks a creative whose format the impression offers; says what does not fit.
pub fn fits(
    creative: &Creative,
    compiled: &CompiledCreative,
    request: &BidRequest,
    imp: &Imp,
    markup: Option<&NativeRequest>,
    subject: &mut Subject,
) -> Result<(), Reason> {
    if imp.secure == Some(true) && !creative.secure {
        return Err(Reason::Insecure);
    }
    let battr = match &creative.kind {
        Kind::Banner { .. } => imp.banner.as_ref().map(|b| b.battr),
        Kind::Video { w: _, h: _, spot } => {
            imp.video.as_ref().filter(|v| spot_fits(spot, v)).ok_or(Reason::Creative).map(|v| Some(v.battr))?
        }
        Kind::Audio { spot } => {
            imp.audio.as_ref().filter(|a| spot_fits(spot, a)).ok_or(Reason::Creative).map(|a| Some(a.battr))?
        }
        Kind::Native { assets, .. } => {
            let markup = markup.ok_or(Reason::Creative)?;
            if !answers(assets, markup) {
                return Err(Reason::Creative);
            }
            imp.native.as_ref().map(|n| n.battr)
        }
    };
    if battr.is_some_and(|battr| blocked_attribute(creative, battr)) {
        return Err(Reason::BlockedAttribute);
    }
    if subject.blocks_advertiser(request, &compiled.domains) {
        return Err(Reason::BlockedAdvertiser);
    }
    if subject.blocks_category(request, creative, &compiled.categories) {
        return Err(Reason::BlockedCategory);
    }
    Ok(())
}

fn blocked_attribute(creative: &Creative, battr: IntList) -> bool {
    !battr.is_empty() && creative.attr.iter().any(|a| battr.contains(i64::from(*a)))
}

/// Duration, protocol and file types (OpenRTB 2.6 sections 3.2.7 and 3.2.8).
fn spot_fits(spot: &Spot, offered: &AudioVideo) -> bool {
    let linear = offered.linearity.is_none_or(|l| l == 1);
    linear && offered.allows_duration(spot.duration_s) && vast::choose(spot, offered).is_some()
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

/// Whether a deal's list of advertisers allows the creative.
pub fn advertiser_allowed(creative: &Creative, wadomain: &crate::openrtb::list::StrList) -> bool {
    wadomain.is_empty() || {
        let allowed: TextSet = wadomain.iter().map(|d| super::campaign::inventory_key(&d).into()).collect();
        creative.adomain.iter().any(|d| allowed.contains(d))
    }
}
