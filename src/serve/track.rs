//! `/t/{i,c,v}/{token}`: impression pixel, click redirect, conversion. Never money; written to the log, not waited for,
//! and not again and again: [`repeats`](super::repeats). What comes once too often is answered as ever.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

use super::routes::{Answer, status};
use super::traffic::Worker;
use super::unsent::Payload;
use crate::event::{Event, Facts, Track};

/// A transparent GIF of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

pub fn answer(worker: &Worker, what: Track, token: &str) -> Answer {
    let traffic = &*worker.traffic;
    let facts = traffic.keys.verify_tracking_at(token.as_bytes(), |facts| traffic.now_for(facts));
    let kind = match (&facts, what) {
        (Err(error), _) => error.as_str(),
        (Ok(facts), _) if !worker.repeats.borrow_mut().note(what, facts.reservation) => "repeated",
        (Ok(facts), _) if traffic.log.append(worker.lane, &Event::Track { what, facts: *facts }).is_err() => {
            // When it comes again there may be room for it.
            worker.repeats.borrow_mut().take_back(what, facts.reservation);
            "not_logged"
        }
        (Ok(_), Track::Impression) => "impression",
        (Ok(_), Track::Click) => "click",
        (Ok(_), Track::Conversion) => "conversion",
    };
    traffic.metrics.counters.tracks.get_or_create(&[("kind", kind)]).inc();
    match what {
        Track::Impression => {
            let mut response = Response::new(Payload::from(PIXEL));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/gif"));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Track::Conversion => status(StatusCode::NO_CONTENT),
        Track::Click => facts.ok().and_then(|f| redirect(worker, &f)).unwrap_or_else(|| status(StatusCode::NOT_FOUND)),
    }
}

/// To where the creative's ad leads, as long as the catalog has it. If it is gone, or its token is of an earlier build,
/// only one place is certainly right: where all ads of the campaign lead. Never to anywhere a request names.
fn redirect(worker: &Worker, facts: &Facts) -> Option<Answer> {
    let catalog = worker.snapshot().catalog;
    let compiled = &catalog.find(facts.campaign)?.compiled;
    let is_there = compiled.creatives.iter().any(|known| known.hash == facts.creative);
    let named = compiled.creatives.iter().filter(|known| !is_there || known.hash == facts.creative);
    let mut places = named.map(|known| known.creative.click_url());
    let to = places.next()??;
    if places.any(|other| other != Some(to)) {
        return None;
    }
    let location = HeaderValue::from_str(to).ok()?;
    let mut response = status(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
