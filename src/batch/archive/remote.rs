//! A copy of the archive in S3: with the cargo feature `s3`, or the reason why not.

use std::path::Path;

use super::{Archive, ArchiveError};

/// What a place in S3 begins with.
pub const S3: &str = "s3://";

/// Uploads the ranges that are not there yet; returns how many.
pub fn push(url: &str, archive: &Archive) -> Result<usize, ArchiveError> {
    #[cfg(feature = "s3")]
    return super::s3::Bucket::open(url)?.push(archive);
    #[cfg(not(feature = "s3"))]
    Err(needs_feature(url, &archive.dir))
}

/// Downloads all ranges to a directory.
pub fn pull(url: &str, dir: &Path) -> Result<(), ArchiveError> {
    #[cfg(feature = "s3")]
    return super::s3::Bucket::open(url)?.pull(dir);
    #[cfg(not(feature = "s3"))]
    Err(needs_feature(url, dir))
}

#[cfg(not(feature = "s3"))]
fn needs_feature(url: &str, _: &Path) -> ArchiveError {
    ArchiveError::NoS3 { url: url.to_owned() }
}
