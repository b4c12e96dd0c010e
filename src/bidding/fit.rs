//! Whether a creative may be shown in an impression, beyond its format.

use super::compiled::CompiledCreative;
use super::creative::{Asset, Creative, ImageKind, Kind, Spot};
use super::offer::Formats;
use super::player::{Numbers, Player};
use super::reason::Reason;
use super::subject::Subject;
use super::vast;
use crate::openrtb::imp::Imp;
use crate::openrtb::native::{self, AssetKind, NativeRequest};
use crate::openrtb::request::BidRequest;

/// Checks a creative whose format the impression offers; says what does not fit.
pub(super) fn fits(
    creative: &Creative,
    compiled: &CompiledCreative,
    request: &BidRequest,
    imp: &Imp,
    formats: &mut Formats,
    subject: &mut Subject,
) -> Result<(), Reason> {
    if imp.secure == Some(true) && !creative.secure {
        return Err(Reason::Insecure);
    }
    let battr = match &creative.kind {
        Kind::Banner { .. } => formats.banner_battr(imp),
        Kind::Video { w: _, h: _, spot } => {
            formats.video(imp).filter(|v| spot_fits(spot, v)).map(|v| &v.battr).ok_or(Reason::Creative)?
        }
        Kind::Audio { spot } => {
            formats.audio(imp).filter(|a| spot_fits(spot, a)).map(|a| &a.battr).ok_or(Reason::Creative)?
        }
        Kind::Native { assets, .. } => {
            if !formats.markup(imp).is_some_and(|markup| answers(assets, markup)) {
                return Err(Reason::Creative);
            }
            formats.native_battr(imp)
        }
    };
    if blocked_attribute(creative, battr) {
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

fn blocked_attribute(creative: &Creative, battr: &Numbers) -> bool {
    !battr.is_empty() && creative.attr.iter().any(|a| battr.contains(i64::from(*a)))
}

/// Duration, protocol and file types (OpenRTB 2.6 sections 3.2.7 and 3.2.8).
fn spot_fits(spot: &Spot, player: &Player) -> bool {
    player.is_linear() && player.allows_duration(spot.duration_s) && vast::choose(spot, player).is_some()
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
