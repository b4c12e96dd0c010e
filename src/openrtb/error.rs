//! Why a request is refused: a closed list, for the answer 400 and its counter.

use crate::json::ScanError;

/// A request that is not JSON, or breaks a rule that OpenRTB 2.6 section 3.2 makes about it. Eight bytes, since every
/// reader of a field returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body {0}")]
    Malformed(ScanError),
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("id is missing or empty")]
    NoId,
    #[error("imp is missing or empty")]
    NoImp,
    #[error("imp has more than {max} entries", max = super::request::MAX_IMPS)]
    TooManyImps,
    #[error("imp.id is missing or empty")]
    ImpWithoutId,
    #[error("two entries of imp have one id")]
    DuplicateImpId,
    #[error("more than one of site, app and dooh is present")]
    ManyChannels,
    /// Where the value starts or ends.
    #[error("the request has a value of the wrong type at byte {0}")]
    WrongType(u32),
    #[error("the request has a negative value at byte {0}")]
    Negative(u32),
}

impl RequestError {
    /// A short name for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestError::NotUtf8 => "not_utf8",
            RequestError::Malformed(ScanError::Syntax(_)) => "malformed",
            RequestError::Malformed(ScanError::TooDeep) => "too_deep",
            RequestError::NotAnObject => "not_an_object",
            RequestError::NoId => "no_id",
            RequestError::NoImp => "no_imp",
            RequestError::TooManyImps => "too_many_imps",
            RequestError::ImpWithoutId => "imp_without_id",
            RequestError::DuplicateImpId => "duplicate_imp_id",
            RequestError::ManyChannels => "many_channels",
            RequestError::WrongType(_) => "wrong_type",
            RequestError::Negative(_) => "negative",
        }
    }

    /// Every label that [`RequestError::as_str`] gives, so that counters can be made at start.
    pub const LABELS: [&'static str; 12] = [
        "not_utf8",
        "malformed",
        "too_deep",
        "not_an_object",
        "no_id",
        "no_imp",
        "too_many_imps",
        "imp_without_id",
        "duplicate_imp_id",
        "many_channels",
        "wrong_type",
        "negative",
    ];
}

impl From<ScanError> for RequestError {
    fn from(error: ScanError) -> RequestError {
        RequestError::Malformed(error)
    }
}
