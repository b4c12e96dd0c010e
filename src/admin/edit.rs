//! `PUT` and `DELETE /v1/campaigns/{id}`: durable first, then in force, then answered.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::Value;

use super::campaigns::{Campaigns, set_event};
use super::catalog_files;
use super::problem::Problem;
use crate::bidding::campaign::{Schedule, cap_memory, parse};
use crate::bidding::part::Entry;
use crate::event::Event;
use crate::eventlog::{AppendError, LogState};

/// Puts a campaign; true when it is new.
pub async fn put(campaigns: &Arc<Campaigns>, id: &str, body: &[u8]) -> Result<(bool, String), Problem> {
    let invalid = StatusCode::UNPROCESSABLE_ENTITY;
    let text = std::str::from_utf8(body).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")));
    }
    let campaign = parse(text).map_err(|faults| Problem::faults(invalid, "the campaign has faults", faults))?;
    if campaign.id != id {
        return Err(Problem::new(invalid, format!("the campaign's id is {:?}, the path says {id:?}", campaign.id)));
    }
    let faults = catalog_files::check(&campaign, &campaigns.config);
    if !faults.is_empty() {
        return Err(Problem::faults(invalid, "the campaign does not fit the configuration", faults));
    }

    let mut edit = campaigns.catalogs.edit().await;
    let (no, before) = {
        let registry = campaigns.registry();
        let no = registry.number(id, campaign.currency).map_err(|has| {
            let detail = format!("the campaign's account is in {has}; its currency cannot change");
            Problem::new(StatusCode::CONFLICT, detail)
        })?;
        (no, registry.present.get(id).map(|p| p.compiled.clone()))
    };
    let json = campaign.json.clone();
    let day = |schedule: &Schedule| schedule.zone.local_hour(campaigns.now()).day;
    // With another time zone it may be another day; until the edit is in force money is leased for the one it was.
    let day = before.iter().fold(day(&campaign.schedule), |new, before| new.min(day(&before.schedule)));
    durable(campaigns, Event::CampaignSet(set_event(no, &campaign, Some(json.clone()), day))).await?;

    let same_content = before.as_ref().is_some_and(|before| only_live_changes(&before.json, &campaign.json));
    let (currency, cap_memory) = (campaign.currency, cap_memory(&campaign.frequency_caps));
    let present = campaigns.registry().put(no, campaign, same_content, &mut campaigns.hot());
    // Whoever bids for it finds its money there.
    lease(campaigns, no).await;
    if same_content {
        edit.price_changed(no).await?;
    } else {
        match cap_memory {
            Some(memory) => drop(campaigns.caps.insert(no, memory)),
            None => drop(campaigns.caps.remove(&no)),
        }
        if let Some(rate) = campaigns.config.rates.get(currency) {
            edit.put(Entry::new(present.compiled.clone(), present.live.clone(), rate)).await?;
        }
    }
    Ok((before.is_none(), json))
}

/// Deletes a campaign: it bids no more; its account stays.
pub async fn delete(campaigns: &Arc<Campaigns>, id: &str) -> Result<(), Problem> {
    let mut edit = campaigns.catalogs.edit().await;
    let present = campaigns.registry().present.get(id).cloned();
    let Some(present) = present else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no campaign {id:?}")));
    };
    durable(campaigns, Event::CampaignDeleted { campaign: present.compiled.no }).await?;
    present.live.set_active(false);
    campaigns.registry().present.remove(id);
    lease(campaigns, present.compiled.no).await;
    edit.delete(present.compiled.no).await
}

/// Not while the disk is full: what is left of it is for notices. No bids are made then, so a pause or a cut can wait.
async fn durable(campaigns: &Campaigns, event: Event) -> Result<(), Problem> {
    let written = match campaigns.log.state() {
        LogState::Full => Err(AppendError::Full),
        _ => campaigns.log.append_durable(campaigns.lane, &[event]).await,
    };
    written.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("nothing was changed: {error}")))
}

/// Takes or returns the campaign's lease now instead of at the next tick, and waits until it is in force: what is
/// answered is then true of the very next bid request.
async fn lease(campaigns: &Campaigns, no: crate::ids::CampaignNo) {
    let mut events = Vec::new();
    campaigns.hot().look_after_lease_now(no, &mut events);
    if let Err(error) = campaigns.log.append_durable(campaigns.lane, &events).await {
        tracing::warn!(%error, "a lease could not be changed at once; a later tick tries again");
        campaigns.hot().refused(&events);
    }
}

/// Whether only things changed that running requests read from shared counters: status, price, budget, and names.
fn only_live_changes(before: &str, after: &str) -> bool {
    let rest = |json: &str| {
        let mut value: Value = serde_json::from_str(json).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut() {
            for key in ["status", "budget", "name"] {
                object.remove(key);
            }
            if let Some(bid) = object.get_mut("bid").and_then(Value::as_object_mut) {
                bid.remove("price");
            }
        }
        value
    };
    rest(before) == rest(after)
}
