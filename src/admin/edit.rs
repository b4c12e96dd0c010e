//! `PUT` and `DELETE /v1/campaigns/{id}`: durable first, then in force, then answered.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::Value;

use super::campaigns::{Campaigns, Present, set_event};
use super::catalog_files;
use super::catalogs::Edit;
use super::problem::Problem;
use crate::bidding::campaign::{Campaign, Schedule, cap_memory, parse};
use crate::bidding::part::Entry;
use crate::clock::Day;
use crate::event::Event;
use crate::eventlog::{AppendError, LogState};
use crate::ids::CampaignNo;

/// Tries at a number for a new campaign: each time another node was faster.
const MAX_TRIES: usize = 64;

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
    let before = campaigns.registry().present.get(id).map(|p| p.compiled.clone());
    let json = campaign.json.clone();
    let day = |schedule: &Schedule| schedule.zone.local_hour(campaigns.now()).day;
    // With another time zone it may be another day; until the edit is in force money is leased for the one it was.
    let day = before.iter().fold(day(&campaign.schedule), |new, before| new.min(day(&before.schedule)));
    let no = set(campaigns, &campaign, day).await?;
    in_force(campaigns, &mut edit, no, campaign).await?;
    Ok((before.is_none(), json))
}

/// Has the log give the campaign its budget; a new one also its number, unless another node is faster.
async fn set(campaigns: &Campaigns, campaign: &Campaign, day: Day) -> Result<CampaignNo, Problem> {
    for _ in 0..MAX_TRIES {
        let number = campaigns.number(&campaign.id, campaign.currency);
        let no = number.map_err(|has| {
            let detail = format!("the campaign's account is in {has}; its currency cannot change");
            Problem::new(StatusCode::CONFLICT, detail)
        })?;
        let event = set_event(no, campaign, Some(campaign.json.clone()), day);
        durable(campaigns, Event::CampaignSet(event)).await?;
        if campaigns.number(&campaign.id, campaign.currency) == Ok(no) {
            return Ok(no);
        }
    }
    let detail = "nothing was changed: other nodes put new campaigns all the time and were faster; try again";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
}

/// Puts in force here what the log has.
async fn in_force(
    campaigns: &Arc<Campaigns>,
    edit: &mut Edit<'_>,
    no: CampaignNo,
    campaign: Campaign,
) -> Result<(), Problem> {
    let before = campaigns.registry().present.get(campaign.id.as_str()).map(|p| p.compiled.clone());
    let same_content = before.as_ref().is_some_and(|before| only_live_changes(&before.json.text(), &campaign.json));
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
    Ok(())
}

/// Puts in force what another node of the fleet put or deleted. What came by REST here is in force before this gets to it.
pub async fn follow(campaigns: &Arc<Campaigns>, no: CampaignNo) {
    let mut edit = campaigns.catalogs.edit().await;
    let book =
        campaigns.hot().books().campaigns.get(&no).map(|book| (book.id.clone(), book.deleted, book.json.clone()));
    let Some((id, deleted, json)) = book else { return };
    let present = campaigns.registry().present.get(id.as_str()).cloned();
    let result = match (deleted, json, present) {
        (true, _, Some(present)) => remove(campaigns, &mut edit, &present).await,
        (false, Some(json), present) if present.as_ref().is_none_or(|p| p.compiled.json.text() != json) => {
            match fitting(campaigns, &json) {
                Ok(campaign) => in_force(campaigns, &mut edit, no, campaign).await,
                Err(fault) => {
                    tracing::error!(
                        campaign = id,
                        fault,
                        "what another node put does not fit this one: it does not bid here"
                    );
                    match present {
                        Some(present) => remove(campaigns, &mut edit, &present).await,
                        None => Ok(()),
                    }
                }
            }
        }
        _ => Ok(()),
    };
    if let Err(problem) = result {
        tracing::error!(campaign = id, ?problem, "what another node edited is not in force here");
    }
}

/// A campaign that fits this node's config, or its first fault.
fn fitting(campaigns: &Campaigns, json: &str) -> Result<Campaign, String> {
    let campaign = parse(json).map_err(|faults| faults.first().map(ToString::to_string).unwrap_or_default())?;
    match catalog_files::check(&campaign, &campaigns.config).first() {
        Some(first) => Err(first.to_string()),
        None => Ok(campaign),
    }
}

/// Deletes a campaign: it bids no more; its account stays.
pub async fn delete(campaigns: &Arc<Campaigns>, id: &str) -> Result<(), Problem> {
    let mut edit = campaigns.catalogs.edit().await;
    let present = campaigns.registry().present.get(id).cloned();
    let Some(present) = present else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no campaign {id:?}")));
    };
    durable(campaigns, Event::CampaignDeleted { campaign: present.compiled.no }).await?;
    remove(campaigns, &mut edit, &present).await
}

/// Ends the bids of a campaign that the log says is deleted.
async fn remove(campaigns: &Arc<Campaigns>, edit: &mut Edit<'_>, present: &Present) -> Result<(), Problem> {
    present.live.set_active(false);
    campaigns.registry().remove(&present.compiled.id);
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
async fn lease(campaigns: &Campaigns, no: CampaignNo) {
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
