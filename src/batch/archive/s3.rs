//! The archive in S3, or in what speaks its language: the same files under the same names. A range counts once its manifest
//! is there, which is put last. Where and as whom comes from the environment, as for other tools: `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`.

use std::collections::BTreeSet;
use std::fs;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

use super::manifest::{Archive, MANIFEST, MAX_BYTES, Range, parse_name};
use super::{ArchiveError, hex};

/// A bucket and what stands before the names of ranges in it.
pub struct Bucket {
    url: String,
    store: AmazonS3,
    prefix: Path,
    runtime: Runtime,
}

impl Bucket {
    /// From `s3://bucket/prefix`.
    pub fn open(url: &str) -> Result<Bucket, ArchiveError> {
        let url = url.trim_end_matches('/').to_owned();
        // Nothing else in this process asks for a provider by default; whoever was first is fine.
        let _was_there = rustls::crypto::ring::default_provider().install_default();
        let store = AmazonS3Builder::from_env().with_url(&url).build().map_err(|e| failed("open", &url, e))?;
        let (_, prefix) = url.trim_start_matches(super::remote::S3).split_once('/').unwrap_or_default();
        let prefix = Path::parse(prefix).map_err(|e| failed("open", &url, e.into()))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| ArchiveError::Io { doing: format!("open {url}"), source })?;
        Ok(Bucket { url, store, prefix, runtime })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// An object's bytes, which must not be more; `None` where there is none.
    fn get(&self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let place = format!("{}/{name}", self.url);
        let got = self.runtime.block_on(async {
            let object = match self.store.get(&self.path(name)).await {
                Err(Error::NotFound { .. }) => return Ok(None),
                other => other?,
            };
            if object.meta.size > max_bytes {
                return Ok(Some(Err(object.meta.size)));
            }
            Ok(Some(Ok(object.bytes().await?.to_vec())))
        });
        match got.map_err(|e| failed("read", &place, e))? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(size)) => Err(ArchiveError::damaged(place, format!("it has {size} bytes, more than {max_bytes}"))),
        }
    }

    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let put = self.runtime.block_on(self.store.put(&self.path(name), bytes.into()));
        put.map(drop).map_err(|e| failed("write", &format!("{}/{name}", self.url), e))
    }

    /// The names of ranges, also of those without a manifest yet.
    fn names(&self) -> Result<BTreeSet<String>, ArchiveError> {
        let listed = self.runtime.block_on(self.store.list_with_delimiter(Some(&self.prefix)));
        let listed = listed.map_err(|e| failed("list", &self.url, e))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename());
        Ok(names.filter(|name| parse_name(name).is_some()).map(str::to_owned).collect())
    }

    pub fn push(&self, archive: &Archive) -> Result<usize, ArchiveError> {
        let name_of = |range: &Range| range.dir.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        let here: BTreeSet<String> = archive.ranges.iter().map(name_of).collect();
        let there = self.names()?;
        let mut pushed = 0;
        for name in there.difference(&here) {
            if self.get(&format!("{name}/{MANIFEST}"), MAX_BYTES)?.is_some() {
                let what = format!("it has the range {name}, which {} has not", archive.dir.display());
                return Err(ArchiveError::damaged(&self.url, what));
            }
        }
        for range in &archive.ranges {
            let name = name_of(range);
            let manifest = format!("{name}/{MANIFEST}");
            let known = if there.contains(&name) { self.get(&manifest, MAX_BYTES)? } else { None };
            match known {
                Some(bytes) if hex(&Sha256::digest(&bytes)) == range.sha256 => continue,
                Some(_) => {
                    let what = format!("it is not the one of {}: this is another archive", archive.dir.display());
                    return Err(ArchiveError::damaged(format!("{}/{manifest}", self.url), what));
                }
                None => {}
            }
            let files = range.manifest.parts.iter().map(|part| part.file.as_str());
            for file in files.chain([MANIFEST]) {
                let path = range.dir.join(file);
                self.put(&format!("{name}/{file}"), fs::read(&path).map_err(ArchiveError::io("read", &path))?)?;
            }
            pushed += 1;
        }
        Ok(pushed)
    }

    pub fn pull(&self, dir: &std::path::Path) -> Result<(), ArchiveError> {
        for name in self.names()? {
            let Some(manifest) = self.get(&format!("{name}/{MANIFEST}"), MAX_BYTES)? else { continue };
            let here = dir.join(&name);
            write(&here.join(MANIFEST), &manifest)?;
            for part in Range::open(&here)?.manifest.parts {
                let bytes = self.get(&format!("{name}/{}", part.file), part.bytes)?;
                let missing = || ArchiveError::damaged(format!("{}/{name}/{}", self.url, part.file), "it is missing");
                write(&here.join(&part.file), &bytes.ok_or_else(missing)?)?;
            }
        }
        Ok(())
    }
}

fn write(path: &std::path::Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let dir = path.parent().map_or(Ok(()), fs::create_dir_all);
    dir.and_then(|()| fs::write(path, bytes)).map_err(ArchiveError::io("write", path))
}

fn failed(doing: &str, place: &str, error: Error) -> ArchiveError {
    ArchiveError::Io { doing: format!("{doing} {place}"), source: std::io::Error::other(error) }
}
