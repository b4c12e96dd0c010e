//! Campaigns to try the server with: fictional advertisers, one or more of every creative type.

use super::campaign::{Campaign, parse_file};

/// The demo campaigns as a catalog file.
pub const JSON: &str = include_str!("demo.json");

pub fn demo() -> Vec<Campaign> {
    parse_file(JSON).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bidding::campaign::{BidPrice, HoursOfWeek, Pacing, Schedule};

    #[test]
    fn the_demo_has_no_faults() {
        if let Err(faults) = parse_file(JSON) {
            panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>());
        }
        let campaigns = demo();
        for mtype in 1..=4 {
            assert!(campaigns.iter().any(|c| c.creatives.iter().any(|x| x.mtype() == mtype)), "mtype {mtype}");
        }
        assert!(campaigns.iter().flat_map(|c| &c.creatives).all(|c| c.secure && c.click_url().is_some()));
        assert!(campaigns.iter().any(|c| c.pacing == Pacing::Even && c.budget.daily.is_some()));
        assert!(campaigns.iter().any(|c| !c.frequency_caps.is_empty()));
        assert!(campaigns.iter().any(|c| matches!(c.bid, BidPrice::Cpc { .. })));
        let always = |schedule: &Schedule| schedule.starts_at.is_none() && schedule.hours == HoursOfWeek::ALL;
        let open = campaigns.iter().filter(|c| c.targeting == Default::default() && always(&c.schedule));
        assert!(open.count() >= 4);
    }
}
