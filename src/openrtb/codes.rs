//! The enumerated lists that the server speaks (OpenRTB 2.6 section 5: they live in AdCOM 1.0 and OpenRTB 3.0).
//!
//! Values that a list does not know are kept as numbers elsewhere; these types name the ones that are acted upon.

/// A closed list with its numbers: `From` the name, `from_code` to it.
macro_rules! list {
    ($(#[$meta:meta])* $name:ident: $repr:ty { $($(#[$item_meta:meta])* $item:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($repr)]
        pub enum $name { $($(#[$item_meta])* $item = $code,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$item,)*];

            pub fn from_code(code: i64) -> Option<$name> {
                match code {
                    $($code => Some($name::$item),)*
                    _ => None,
                }
            }

            pub fn code(self) -> $repr {
                self as $repr
            }
        }
    };
}

list! {
    /// Why a bidder did not bid: `BidResponse.nbr` (OpenRTB 3.0, list "No-Bid Reason Codes"; 2.5 list 5.24 ends at
    /// 10). From 500 on the exchange's own.
    NoBidReason: u16 {
        UnknownError = 0,
        TechnicalError = 1,
        InvalidRequest = 2,
        KnownWebCrawler = 3,
        SuspectedNonHuman = 4,
        CloudOrProxyIp = 5,
        UnsupportedDevice = 6,
        BlockedPublisher = 7,
        UnmatchedUser = 8,
        DailyUserCapMet = 9,
        DailyDomainCapMet = 10,
        AdsTxtUnavailable = 11,
        AdsTxtViolation = 12,
        AdsCertUnavailable = 13,
        AdsCertViolation = 14,
        InsufficientAuctionTime = 15,
        IncompleteSupplyChain = 16,
        BlockedSupplyChainNode = 17,
    }
}

list! {
    /// Why a bid lost: `${AUCTION_LOSS}` (OpenRTB 3.0, list "Loss Reason Codes"; 2.5 list 5.25). From 500 on the
    /// exchange's own.
    LossReason: u16 {
        Won = 0,
        InternalError = 1,
        Expired = 2,
        InvalidResponse = 3,
        InvalidDealId = 4,
        InvalidAuctionId = 5,
        InvalidAdvertiserDomain = 6,
        MissingMarkup = 7,
        MissingCreativeId = 8,
        MissingPrice = 9,
        MissingApprovalData = 10,
        BelowAuctionFloor = 100,
        BelowDealFloor = 101,
        LostToHigherBid = 102,
        LostToDeal = 103,
        SeatBlocked = 104,
        Filtered = 200,
        PendingProcessing = 201,
        Disapproved = 202,
        SizeNotAllowed = 203,
        IncorrectFormat = 204,
        AdvertiserExclusion = 205,
        AppStoreIdExclusion = 206,
        NotSecure = 207,
        LanguageExclusion = 208,
        CategoryExclusion = 209,
        AttributeExclusion = 210,
        AdTypeExclusion = 211,
        AnimationTooLong = 212,
        NotAllowedInDeal = 213,
        InvalidSkAdNetwork = 214,
        AppBundleExclusion = 215,
    }
}

impl LossReason {
    /// A short name for a metric's label; of codes outside the list, whether they are an exchange's own.
    pub fn label(code: u16) -> &'static str {
        match LossReason::from_code(i64::from(code)) {
            None if code >= 500 => "exchange_specific",
            None => "unknown",
            Some(reason) => match reason {
                LossReason::Won => "won",
                LossReason::InternalError => "internal_error",
                LossReason::Expired => "expired",
                LossReason::InvalidResponse => "invalid_response",
                LossReason::InvalidDealId => "invalid_deal_id",
                LossReason::InvalidAuctionId => "invalid_auction_id",
                LossReason::InvalidAdvertiserDomain => "invalid_advertiser_domain",
                LossReason::MissingMarkup => "missing_markup",
                LossReason::MissingCreativeId => "missing_creative_id",
                LossReason::MissingPrice => "missing_price",
                LossReason::MissingApprovalData => "missing_approval_data",
                LossReason::BelowAuctionFloor => "below_auction_floor",
                LossReason::BelowDealFloor => "below_deal_floor",
                LossReason::LostToHigherBid => "lost_to_higher_bid",
                LossReason::LostToDeal => "lost_to_deal",
                LossReason::SeatBlocked => "seat_blocked",
                LossReason::Filtered => "filtered",
                LossReason::PendingProcessing => "pending_processing",
                LossReason::Disapproved => "disapproved",
                LossReason::SizeNotAllowed => "size_not_allowed",
                LossReason::IncorrectFormat => "incorrect_format",
                LossReason::AdvertiserExclusion => "advertiser_exclusion",
                LossReason::AppStoreIdExclusion => "app_store_id_exclusion",
                LossReason::NotSecure => "not_secure",
                LossReason::LanguageExclusion => "language_exclusion",
                LossReason::CategoryExclusion => "category_exclusion",
                LossReason::AttributeExclusion => "attribute_exclusion",
                LossReason::AdTypeExclusion => "ad_type_exclusion",
                LossReason::AnimationTooLong => "animation_too_long",
                LossReason::NotAllowedInDeal => "not_allowed_in_deal",
                LossReason::InvalidSkAdNetwork => "invalid_skadnetwork",
                LossReason::AppBundleExclusion => "app_bundle_exclusion",
            },
        }
    }
}

list! {
    /// `Bid.mtype` (OpenRTB 2.6 section 4.2.3): which object of the impression a bid answers.
    MarkupType: u8 {
        Banner = 1,
        Video = 2,
        Audio = 3,
        Native = 4,
    }
}

list! {
    /// `device.devicetype` (AdCOM 1.0, list "Device Types").
    DeviceType: u8 {
        /// Phone or tablet, unsaid which.
        Mobile = 1,
        PersonalComputer = 2,
        ConnectedTv = 3,
        Phone = 4,
        Tablet = 5,
        ConnectedDevice = 6,
        SetTopBox = 7,
        OutOfHome = 8,
    }
}

list! {
    /// `protocols` and `Bid.protocol` (AdCOM 1.0, list "Creative Subtypes - Audio/Video").
    Protocol: u8 {
        Vast1 = 1,
        Vast2 = 2,
        Vast3 = 3,
        Vast1Wrapper = 4,
        Vast2Wrapper = 5,
        Vast3Wrapper = 6,
        Vast4 = 7,
        Vast4Wrapper = 8,
        Daast1 = 9,
        Daast1Wrapper = 10,
        Vast41 = 11,
        Vast41Wrapper = 12,
        Vast42 = 13,
        Vast42Wrapper = 14,
        Vast43 = 15,
        Vast43Wrapper = 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_agree() {
        assert_eq!(NoBidReason::ALL.len(), 18);
        for reason in NoBidReason::ALL {
            assert_eq!(NoBidReason::from_code(i64::from(reason.code())), Some(*reason));
        }
        for reason in LossReason::ALL {
            assert_eq!(LossReason::from_code(i64::from(reason.code())), Some(*reason));
            assert_ne!(LossReason::label(reason.code()), "unknown");
        }
        assert_eq!((LossReason::label(99), LossReason::label(502)), ("unknown", "exchange_specific"));
        assert_eq!((DeviceType::from_code(8), DeviceType::from_code(0)), (Some(DeviceType::OutOfHome), None));
        assert_eq!((MarkupType::Native.code(), Protocol::Vast42Wrapper.code()), (4, 14));
    }
}
