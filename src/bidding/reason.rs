//! The no-bid funnel: every way to lose a request or a campaign, in the order in which it happens.

/// Why there was no bid. The order is the funnel's: of the campaigns that were looked at, the one that came furthest
/// gives a request's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    // The request.
    InvalidRequest,
    NotReady,
    LogFull,
    LogBusy,
    Overload,
    InsufficientTime,
    UnknownCurrency,
    SeatNotAllowed,
    Crawler,
    DataCentre,
    BlockedPublisher,
    IpActivity,
    AdsTxt,
    SupplyChain,
    Seller,
    UserActivity,
    NoSupportedImp,
    TinyPlacement,
    NoCampaigns,
    // The index: one attribute each.
    Format,
    Device,
    Country,
    Os,
    Language,
    Exchange,
    // One campaign, verified.
    Price,
    Paused,
    Dates,
    HourOfWeek,
    Region,
    City,
    Inventory,
    Category,
    Segment,
    Deal,
    PrivateAuction,
    ModelMissing,
    Creative,
    Insecure,
    BlockedAdvertiser,
    BlockedCategory,
    BlockedAttribute,
    Prediction,
    Floor,
    UnknownUser,
    FrequencyCap,
    Budget,
    Pacing,
    Outbid,
}

impl Reason {
    pub const ALL: [Reason; 49] = [
        Reason::InvalidRequest,
        Reason::NotReady,
        Reason::LogFull,
        Reason::LogBusy,
        Reason::Overload,
        Reason::InsufficientTime,
        Reason::UnknownCurrency,
        Reason::SeatNotAllowed,
        Reason::Crawler,
        Reason::DataCentre,
        Reason::BlockedPublisher,
        Reason::IpActivity,
        Reason::AdsTxt,
        Reason::SupplyChain,
        Reason::Seller,
        Reason::UserActivity,
        Reason::NoSupportedImp,
        Reason::TinyPlacement,
        Reason::NoCampaigns,
        Reason::Format,
        Reason::Device,
        Reason::Country,
        Reason::Os,
        Reason::Language,
        Reason::Exchange,
        Reason::Price,
        Reason::Paused,
        Reason::Dates,
        Reason::HourOfWeek,
        Reason::Region,
        Reason::City,
        Reason::Inventory,
        Reason::Category,
        Reason::Segment,
        Reason::Deal,
        Reason::PrivateAuction,
        Reason::ModelMissing,
        Reason::Creative,
        Reason::Insecure,
        Reason::BlockedAdvertiser,
        Reason::BlockedCategory,
        Reason::BlockedAttribute,
        Reason::Prediction,
        Reason::Floor,
        Reason::UnknownUser,
        Reason::FrequencyCap,
        Reason::Budget,
        Reason::Pacing,
        Reason::Outbid,
    ];
    pub const COUNT: usize = Reason::ALL.len();

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::InvalidRequest => "invalid_request",
            Reason::NotReady => "not_ready",
            Reason::LogFull => "log_full",
            Reason::LogBusy => "log_busy",
            Reason::Overload => "overload",
            Reason::InsufficientTime => "insufficient_time",
            Reason::UnknownCurrency => "unknown_currency",
            Reason::SeatNotAllowed => "seat_not_allowed",
            Reason::Crawler => "crawler",
            Reason::DataCentre => "data_centre",
            Reason::BlockedPublisher => "blocked_publisher",
            Reason::IpActivity => "ip_activity",
            Reason::UserActivity => "user_activity",
            Reason::TinyPlacement => "tiny_placement",
            Reason::AdsTxt => "ads_txt",
            Reason::SupplyChain => "supply_chain",
            Reason::Seller => "seller",
            Reason::NoSupportedImp => "no_supported_imp",
            Reason::NoCampaigns => "no_campaigns",
            Reason::Exchange => "exchange",
            Reason::Format => "format",
            Reason::Country => "country",
            Reason::Device => "device",
            Reason::Os => "os",
            Reason::Language => "language",
            Reason::Price => "price",
            Reason::Paused => "paused",
            Reason::Dates => "dates",
            Reason::HourOfWeek => "hour_of_week",
            Reason::Region => "region",
            Reason::City => "city",
            Reason::Inventory => "inventory",
            Reason::Category => "category",
            Reason::Segment => "segment",
            Reason::Deal => "deal",
            Reason::PrivateAuction => "private_auction",
            Reason::ModelMissing => "model_missing",
            Reason::Creative => "creative",
            Reason::Insecure => "insecure",
            Reason::BlockedAdvertiser => "blocked_advertiser",
            Reason::BlockedCategory => "blocked_category",
            Reason::BlockedAttribute => "blocked_attribute",
            Reason::Prediction => "prediction",
            Reason::Floor => "floor",
            Reason::UnknownUser => "unknown_user",
            Reason::FrequencyCap => "frequency_cap",
            Reason::Budget => "budget",
            Reason::Pacing => "pacing",
            Reason::Outbid => "outbid",
        }
    }

    /// The NoBidReason that an exchange is told (OpenRTB 2.6 list 5.24); 0 is unknown.
    pub const fn nbr(self) -> u16 {
        match self {
            Reason::InvalidRequest => 2,
            Reason::NotReady | Reason::LogFull | Reason::LogBusy | Reason::Overload => 1,
            Reason::AdsTxt => 12,
            Reason::InsufficientTime => 15,
            Reason::SupplyChain => 16,
            Reason::Seller => 17,
            Reason::Crawler => 3,
            Reason::IpActivity | Reason::UserActivity | Reason::TinyPlacement => 4,
            Reason::DataCentre => 5,
            Reason::Device | Reason::Os => 6,
            Reason::Inventory | Reason::BlockedPublisher => 7,
            Reason::UnknownUser | Reason::Segment => 8,
            Reason::FrequencyCap => 9,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_order_and_labels_are_unique() {
        let mut labels = std::collections::HashSet::new();
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
            assert!(labels.insert(reason.as_str()));
        }
    }
}
