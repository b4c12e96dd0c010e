//! Why a request is refused: a closed list, for the answer 400 and its counter.

use std::fmt;

use super::scan::ScanError;

/// Where a field is: the object's path and the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    pub object: &'static str,
    pub field: &'static str,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() { f.write_str(self.field) } else { write!(f, "{}.{}", self.object, self.field) }
    }
}

/// A request that is not JSON, or breaks a rule that OpenRTB 2.6 section 3.2 makes about it.
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
    #[error("{0} has the wrong type")]
    WrongType(Path),
    #[error("{0} is negative")]
    Negative(Path),
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

/// What can be wrong with one value, before anyone knows which field it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Scan(ScanError),
    WrongType,
    Negative,
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Fault {
        Fault::Scan(error)
    }
}

/// Names the field in which reading failed; an error that already has a path keeps it.
pub trait At<T> {
    fn at(self, object: &'static str, field: &'static str) -> Result<T, RequestError>;
}

impl<T> At<T> for Result<T, Fault> {
    #[inline]
    fn at(self, object: &'static str, field: &'static str) -> Result<T, RequestError> {
        self.map_err(|fault| match fault {
            Fault::Scan(error) => RequestError::Malformed(error),
            Fault::WrongType => RequestError::WrongType(Path { object, field }),
            Fault::Negative => RequestError::Negative(Path { object, field }),
        })
    }
}

impl<T> At<T> for Result<T, RequestError> {
    #[inline]
    fn at(self, object: &'static str, field: &'static str) -> Result<T, RequestError> {
        let here = Path { object, field };
        self.map_err(|error| match error {
            RequestError::WrongType(Path { field: "", .. }) => RequestError::WrongType(here),
            error => error,
        })
    }
}
