//! By which key consumers elsewhere may spread the records over partitions of their own.

use crate::event::Event;
use crate::event::fraud::FraudEvent;

/// The campaign's number where it is about a campaign's money, the id of the check or transaction where it is about fraud;
/// empty where it is about the whole node.
pub fn key(event: &Event) -> String {
    match event {
        Event::CampaignSet(set) => set.campaign.0.to_string(),
        Event::Bid(facts) | Event::Track { facts, .. } => facts.campaign.0.to_string(),
        Event::Notice(notice) => notice.facts.campaign.0.to_string(),
        Event::CampaignDeleted { campaign }
        | Event::LeaseGranted { campaign, .. }
        | Event::LeaseReturned { campaign, .. }
        | Event::Correction { campaign, .. } => campaign.0.to_string(),
        Event::Fraud(fraud) => match fraud {
            FraudEvent::Check(checked) => format!("{:032x}", checked.check),
            FraudEvent::Late { check, .. } => format!("{check:032x}"),
            FraudEvent::Outcome(outcome) => format!("{:032x}", outcome.check),
            FraudEvent::Label(label) => format!("{:032x}", label.check),
            FraudEvent::List { name, .. }
            | FraudEvent::ListEntries { name, .. }
            | FraudEvent::ListEntryRemoved { name, .. } => name.clone(),
            FraudEvent::Windows { .. } | FraudEvent::Rules { .. } | FraudEvent::FileRules { .. } => String::new(),
        },
        Event::ModelsSet(set) => set.name.clone(),
        _ => String::new(),
    }
}
